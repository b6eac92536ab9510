"""Keys that depend on the content: repeatable, and never in the way of a second reading."""

from __future__ import annotations

import sqlite3
import threading

from agent.clock import SystemClock
from agent.message import Draft
from agent.spool import Spool


def drafts(*rows):
    return [Draft(body=b"x", size=1, records=1, content_type="text/plain", first=row) for row in rows]


def opened(folder):
    spool = Spool.open(folder, max_bytes=10_000_000, clock=SystemClock())
    return spool, spool.start_run("job", 0.0, "test", "sha").result()


def test_the_same_content_gives_the_same_keys_in_another_state(tmp_path):
    keys = []
    for name in ("one", "two"):
        spool, run = opened(tmp_path / name)
        keys.append(spool.append(run, drafts(1, 501), seed="5eed").result())
        spool.close()
    assert keys[0] == keys[1] == ["5eed-1", "5eed-501"]


def test_a_second_reading_whose_first_still_waits_is_appended_whole_under_other_keys(tmp_path):
    spool, run = opened(tmp_path / "state")
    spool.append(run, drafts(2), seed="5eed").result()
    again = spool.append(run, drafts(1, 2, 3), seed="5eed", cursor={"row": 3}).result()
    assert len(set(again)) == 3
    assert not {"5eed-1", "5eed-2", "5eed-3"} & set(again)
    assert [message.key for message in spool.oldest("job", 0).result()] == ["5eed-2", *again]
    assert spool.cursor("job").result() == {"row": 3}
    spool.close()


def test_del_17_a_commit_that_failed_and_yet_was_written_appends_nothing_twice(tmp_path):
    spool, run = opened(tmp_path / "state")
    db = spool._thread._db
    real = db.commit

    def broken():
        db.commit = real
        real()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    held, go_on = threading.Event(), threading.Event()
    spool._thread.submit(lambda _: (held.set(), go_on.wait(20)), writes=False)
    held.wait(20)
    db.commit = broken
    first = spool.append(run, drafts(1, 2), seed="5eed")
    second = spool.append(run, drafts(3), seed="5eed")
    go_on.set()
    assert first.result() + second.result() == ["5eed-1", "5eed-2", "5eed-3"]
    assert [message.key for message in spool.oldest("job", 0).result()] == ["5eed-1", "5eed-2", "5eed-3"]
    spool.close()
