"""Which listed files there may be something to do for: of thousands that are known, each costs little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.collect.files import is_settled_for
from agent.config.model import Job
from agent.sources.files import SourceFile, is_text
from agent.spool import Spool

# Files that the spool is asked about in one trip: an ack that comes meanwhile waits for so many.
_AT_ONCE = 200


def unsettled(job: Job, listed: Sequence[SourceFile], spool: Spool) -> Iterator[SourceFile]:
    """The files that are not known and unchanged, in their order."""
    for begin in range(0, len(listed), _AT_ONCE):
        some = listed[begin : begin + _AT_ONCE]
        texts = [file for file in some if is_text(str(file.path))]  # another name is in no table
        rows = spool.files_by_stamps(job.name, [file.stamp for file in texts]).result()
        known = {
            file.path
            for file, row in zip(texts, rows, strict=True)
            if row is not None and is_settled_for(job, row, spool)
        }
        yield from (file for file in some if file.path not in known)
