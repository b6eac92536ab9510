"""One test: what is given goes the production path, as far as the exact requests."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.config.model import (
    Connection,
    GivenFile,
    GivenRows,
    Job,
    JobTest,
    reading_of,
)
from agent.errors import AgentError, SourceError
from agent.message import Draft
from agent.preview import masked_signature
from agent.render import BadRecord, Chunk, Context, SourceFile, render_file
from agent.request import Request, build, resolve
from agent.sources.files import stamp_of
from agent.testing.verdict import Failure, Made, failures

KEY = "test"
"""The idempotency key of a request that is never sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of a test."""

    job: str
    test: JobTest
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures


def run_test(job: Job, connection: Connection, test: JobTest, ctx: Context) -> Result:
    """Run a test. Never raises for what the job or the test says: that is a failure."""
    begun = ctx.clock.monotonic()
    made = make(job, connection, test.given, ctx)
    return Result(
        job=job.name, test=test, failures=failures(test, made), seconds=ctx.clock.monotonic() - begun
    )


def make(job: Job, connection: Connection, given: GivenRows | GivenFile, ctx: Context) -> Made:
    """The requests and dead letters that become of what is given."""
    requests: list[tuple[Draft, Request]] = []
    dead: list[BadRecord] = []
    thorough = dataclasses.replace(ctx, thorough=True)
    try:
        route = resolve(job, connection)
        signature = masked_signature(connection)
        with tempfile.TemporaryDirectory(dir=ctx.temp, prefix="given-") as temp:
            for chunk in _chunks(job, given, Path(temp), thorough):
                requests += [
                    (draft, build(route, draft, key=KEY, signature=signature)) for draft in chunk.drafts
                ]
                dead += chunk.bad
    except AgentError as error:
        return Made(error=error)
    except ValueError as error:  # a path or a header that could leave its place
        return Made(error=SourceError(str(error), lasting=True))
    return Made(requests=tuple(requests), dead=tuple(dead))


def _chunks(job: Job, given: GivenRows | GivenFile, temp: Path, ctx: Context) -> list[Chunk]:
    if isinstance(given, GivenFile):
        path = given.path
    else:
        reading = reading_of(job.source)
        assert reading is not None, "refused when the config was built"
        # pyarrow, when a source is read that needs it
        from agent.sources.given import stand_in, write_given  # noqa: PLC0415

        source = stand_in(reading)
        job = dataclasses.replace(job, source=source)
        path = write_given(source, given.rows, temp)
    stamp = stamp_of(path)
    if stamp is None:
        said = f"{path} is not a regular file that can be read"
        raise SourceError(said, hint="a relative path starts at the job file's folder", lasting=True)
    return list(render_file(job, SourceFile(path=path, stamp=stamp), ctx))
