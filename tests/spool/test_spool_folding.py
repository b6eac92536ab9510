"""The WAL is folded beside the thread that writes: it stays short, nobody spins, and nothing is lost."""

from __future__ import annotations

import signal
import sqlite3
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from agent.spool import Reader, folding, quota
from agent.spool.folding import Folding
from tests.support.processes import run_to_its_end
from tests.support.spool import bodies, draft, open_spool

PAGES = 16
ROW = 3_000  # bytes: a page for each


class Written:
    """A database with a connection that writes, and what folds behind it. Counts what folds it."""

    def __init__(self, folder):
        self.path = folder / "some ?#%.db"
        self.wal = Path(f"{self.path}-wal")
        self.raw = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.raw.execute("PRAGMA journal_mode=WAL")
        self.raw.execute("CREATE TABLE t (x)")
        self.folding = Folding(self.raw, self.path, PAGES)
        self.limit = self.wal.stat().st_size + (PAGES + 6) * 4_120
        self.folded = []

    def commit(self, count=1):
        for _ in range(count):
            self.raw.execute("INSERT INTO t VALUES (randomblob(?))", (ROW,))
            self.folding.committed()

    def until_a_pass(self):
        while self.folding._pass is None:
            self.commit()

    def settle(self):
        """As in a pause."""
        self.folding.finish()

    def rows(self):
        return self.raw.execute("SELECT count(*) FROM t").fetchone()[0]

    def is_sound(self):
        return self.raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def close(self):
        self.folding.close()
        self.raw.close()


@pytest.fixture
def written(tmp_path, monkeypatch):
    made = Written(tmp_path)
    fold = folding._fold

    def counted(raw):
        made.folded.append("here" if raw is made.raw else "beside")
        return fold(raw)

    monkeypatch.setattr(folding, "_fold", counted)
    yield made
    made.close()


@pytest.fixture
def held(written, monkeypatch):
    """Passes wait until they may go on; says so when one has begun."""
    begun, may = threading.Event(), threading.Event()
    beside = written.folding._beside

    def late():
        begun.set()
        assert may.wait(30)
        beside()

    monkeypatch.setattr(written.folding, "_beside", late)
    yield begun, may
    may.set()


def test_the_wal_begins_anew_and_stays_short_over_many_commits(written):
    longest = 0
    for _ in range(200):
        written.commit()
        longest = max(longest, written.wal.stat().st_size)
    assert longest <= 2 * written.limit + 6 * 4_120
    assert {"here", "beside"} == set(written.folded)
    written.settle()
    written.commit()
    assert written.wal.stat().st_size <= written.limit
    assert written.rows() == 201
    assert written.is_sound()


def test_commits_go_on_while_a_pass_waits_for_the_disk(written, held):
    begun, may = held
    written.until_a_pass()
    assert begun.wait(30)
    before = written.rows()
    written.commit(2)
    assert written.rows() == before + 2
    assert written.folded == []
    may.set()
    written.settle()
    assert written.folded == ["beside", "here"]
    assert written.raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0


def test_a_pass_begins_behind_a_page_that_nobody_has_folded(written, held):
    """Else it could begin just when the WAL begins anew (sqlite.org/wal.html, "The WAL-Reset Bug")."""
    begun, may = held
    written.raw.execute("INSERT INTO t VALUES (randomblob(?))", (PAGES * 4_096,))
    written.raw.execute("PRAGMA wal_checkpoint(PASSIVE)")
    size = written.wal.stat().st_size
    written.folding.committed()
    assert begun.wait(30)
    header = Path(f"{written.path}-shm").read_bytes()
    newest, done = (int.from_bytes(header[at : at + 4], sys.byteorder) for at in (16, 96))
    assert done < newest
    assert written.wal.stat().st_size <= size
    may.set()


def test_who_reads_for_long_makes_no_busy_loop_and_the_wal_shrinks_when_he_goes(written):
    with closing(sqlite3.connect(written.path, isolation_level=None)) as reading:
        written.commit()
        reading.execute("BEGIN")
        seen = reading.execute("SELECT count(*) FROM t").fetchone()
        written.commit(20 * PAGES)
        assert len(written.folded) <= 3 * 20 * 2
        assert written.wal.stat().st_size > 10 * written.limit
        assert reading.execute("SELECT count(*) FROM t").fetchone() == seen
    written.settle()
    written.commit()
    assert written.wal.stat().st_size <= written.limit
    assert written.is_sound()


def test_a_pass_that_found_no_thread_never_begins_later(written, monkeypatch):
    """It would begin behind no page of its own."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        written.commit(20 * PAGES)
        assert set(written.folded) == {"here"}
        assert written.wal.stat().st_size <= written.limit
    written.folded.clear()
    written.until_a_pass()
    written.settle()
    assert written.folded.count("beside") == 1


def _no_thread(thread):
    raise RuntimeError("can't start new thread")


def test_a_database_that_was_taken_away_is_not_made_anew(written, held):
    begun, may = held
    written.until_a_pass()
    assert begun.wait(30)
    written.path.rename(f"{written.path}.away")
    may.set()
    written.settle()
    assert not written.path.exists()


def test_in_a_folder_that_somebody_moved_the_wal_stays_short_too(tmp_path):
    (tmp_path / "here").mkdir()
    written = Written(tmp_path / "here")
    written.commit()
    moved = (tmp_path / "here").rename(tmp_path / "there")
    for _ in range(10 * PAGES):
        written.commit()
    assert (moved / written.wal.name).stat().st_size <= 2 * written.limit
    assert not (tmp_path / "here").exists()
    assert written.is_sound()
    assert written.rows() == 10 * PAGES + 1
    written.close()


def test_close_waits_for_the_pass_and_folds_all(state, clock, monkeypatch):
    monkeypatch.setattr(quota, "_AMPLE_WAL_PAGES", 2 * PAGES)
    monkeypatch.setattr(quota, "_WAL_PAGES", 2 * PAGES)
    begun, may = threading.Event(), threading.Event()
    beside = Folding._beside

    def late(self):
        begun.set()
        assert may.wait(30)
        beside(self)

    monkeypatch.setattr(Folding, "_beside", late)
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"x" * 50_000)]).result()
    assert begun.wait(30)
    closing_thread = threading.Thread(target=spool.close)
    closing_thread.start()
    may.set()
    closing_thread.join()
    assert sorted(path.name for path in state.iterdir() if path.name != "machine") == ["lock", "state.db"]
    spool = open_spool(state, clock=clock)
    assert bodies(spool) == [b"x" * 50_000]
    spool.close()


_CHILD = """
import os, signal, sys
from pathlib import Path
from agent.spool import folding, quota
from tests.support.clock import FakeClock
from tests.support.spool import draft, open_spool, receipt
quota._WAL_PAGES = quota._AMPLE_WAL_PAGES = 16
passes, fold = 0, folding._fold
def dying(raw):
    global passes
    passes += 1
    if passes == int(sys.argv[2]):
        import threading
        threading.Timer(0, os.kill, (os.getpid(), signal.SIGKILL)).start()
    return fold(raw)
folding._fold = dying
spool = open_spool(Path(sys.argv[1]))
run = spool.start_run("gps", 1.0, "every", "sha").result()
while True:
    for key in spool.append(run, [draft(b"x" * 3000)] * 4).result():
        os.write(1, f"appended {key}\\n".encode())
    for message in spool.oldest("gps", 0, limit=3).result():
        spool.ack(message, receipt(message)).result()
        os.write(1, f"acked {message.key}\\n".encode())
"""


@pytest.mark.parametrize("at", [1, 2, 3, 8])
def test_a_kill_in_a_pass_loses_nothing(state, at):
    result = run_to_its_end(sys.executable, "-c", _CHILD, str(state), str(at))
    assert result.returncode == -signal.SIGKILL, result.stderr
    said = [line.split() for line in result.stdout.splitlines() if line.count(" ") == 1]
    acked = {key for word, key in said if word == "acked"}
    spool = open_spool(state)
    assert spool.recovered is None
    keys = {message.key for message in spool.oldest("gps", 0, limit=100_000, max_bytes=10**9).result()}
    assert not acked & keys
    with Reader.open(state) as reader:
        assert all(reader.receipts(key) for word, key in said if key not in keys)
    check = spool._thread.submit(lambda db: db.raw.execute("PRAGMA integrity_check").fetchone())
    assert check.result() == ("ok",)
    spool.close()
