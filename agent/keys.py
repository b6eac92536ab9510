"""Idempotency keys: the same content from the same place gives the same key, wherever it is read.

A key is made when a message enters the spool and lies there with it ever after. Since it depends on
nothing but the job, the file and the place in it, a file that is read again after its spool was lost,
or on another host, gives the keys that the target has already seen; and a dry run can show them.
"""

from __future__ import annotations

import hashlib
import json

from agent.message import Cursor
from agent.stamp import FileStamp

_BYTES = 16  # 128 bits: no two files share a seed by chance


def seed_of(job: str, stamp: FileStamp, sha256: str, *, again: int = 0, known: str = "") -> str:
    """What all keys of one reading of a file begin with: 32 hex digits.

    The device and inode are left out (another host has others). `again` tells readings of an
    unchanged file apart, where the job asks for that (`reread: always`): the id of the run. `known` tells
    apart what is picked of the same file (`only: {changed_by: …}`): what was known when it was read.
    """
    words = [job, stamp.path, str(stamp.mtime_ns), str(stamp.size), sha256, str(again)]
    words += [known] if known else []
    digest = hashlib.blake2b(digest_size=_BYTES)
    for word in words:
        raw = word.encode("utf-8", "surrogateescape")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def seed_of_query(job: str, cursor: Cursor, *, again: int) -> str:
    """What all keys of one reading of a query begin with: it is told by where it goes on.

    `again` tells readings of the same rows apart, where a job has no cursor: the id of the run.
    """
    place = json.dumps(dict(cursor), sort_keys=True)
    digest = hashlib.blake2b(f"{job}\0query\0{again}\0{place}".encode(), digest_size=_BYTES)
    return digest.hexdigest()


def seed_of_log(job: str, number: int, offset: int, sha256: str) -> str:
    """What all keys of one part of a growing log begin with. `sha256`: of the part.

    `number` tells logs of one job apart, and a log from what it was before it was truncated.
    """
    text = f"{job}\0log\0{number}\0{offset}\0{sha256}"
    return hashlib.blake2b(text.encode(), digest_size=_BYTES).hexdigest()


def key_of(seed: str, first: int) -> str:
    """The key of the message whose first record is row `first` of the file, counted from 1."""
    return f"{seed}-{first}"
