"""DEL-19: whatever happens to the file, the spool opens, says so, and tells no lies."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
import sqlite3

import pytest

from agent.errors import StateError
from agent.message import Answer
from agent.spool import Reader, migrations, opening
from tests.support.spool import draft, letter, open_spool, receipt, stamp

PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A state with some of everything."""
    state = tmp_path_factory.mktemp("sound") / "state"
    spool = open_spool(state)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    file = spool.open_file("gps", run, stamp(), "sha", hold=True).result()
    lot = [draft(f"{n}".encode() * (n % 40 * 50 + 1), origin=f"{n}") for n in range(400)]
    spool.append(run, lot, cursor={"n": 400}).result()
    spool.append(run, [draft(b"held")], file=file).result()
    messages = spool.oldest("gps", 0, limit=60).result()
    for message in messages[:40]:
        spool.ack(message, receipt(message)).result()
    for message in messages[40:]:
        spool.bury(message, letter(message)).result()
    spool.close()
    return state, {n.origin: n.body for n in lot}


def zero_page(path, rng):
    with path.open("r+b") as file:
        file.seek(rng.randrange(path.stat().st_size // PAGE) * PAGE)
        file.write(bytes(PAGE))


def flip_bytes(path, rng):
    with path.open("r+b") as file:
        file.seek(rng.randrange(path.stat().st_size // PAGE) * PAGE + rng.randrange(PAGE - 64))
        file.write(rng.randbytes(64))


def truncate(path, rng):
    with path.open("r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


def garble_page(path, rng):
    with path.open("r+b") as file:
        file.seek(rng.randrange(path.stat().st_size // PAGE) * PAGE)
        file.write(rng.randbytes(PAGE))


def again_when_mended(ask):
    """What was asked for when the damage was found is not done: it is asked for again, as a lane does."""
    with contextlib.suppress(StateError):
        return ask().result()
    return ask().result()


EDITS = (zero_page, flip_bytes, truncate, garble_page)


@pytest.mark.parametrize("seed", range(32))
def test_del_19_any_damage_ends_in_a_working_spool(sound, tmp_path, seed):
    origin, sent = sound
    state = tmp_path / "state"
    shutil.copytree(origin, state)
    rng = random.Random(seed)
    EDITS[seed % len(EDITS)](state / "state.db", rng)
    spool = open_spool(state)
    for message in again_when_mended(lambda: spool.oldest("gps", 0, limit=1000, max_bytes=10**9)):
        assert message.body == sent[message.origin]
        again_when_mended(lambda: spool.ack(message, receipt(message)))  # noqa: B023 - called at once
    run = again_when_mended(lambda: spool.start_run("gps", 1.0, "every", "sha"))
    [key] = again_when_mended(lambda: spool.append(run, [draft(b"new")]))
    spool.close()
    again = open_spool(state)
    assert again.recovered is None  # never twice: no crash loop
    assert key in [message.key for message in again.oldest("gps", 0, limit=1000).result()]
    again.close()


@pytest.mark.parametrize("content", [b"", bytes(PAGE * 3), b"not a database at all" * 500])
def test_del_19_a_file_without_any_content_is_set_aside(sound, tmp_path, content):
    shutil.copytree(sound[0], tmp_path / "state")
    (tmp_path / "state" / "state.db").write_bytes(content)
    spool = open_spool(tmp_path / "state")
    assert spool.recovered.set_aside.read_bytes() == content
    assert spool.recovered.set_aside.name == "state.db.bad.1"
    assert spool.lanes().result() == []
    spool.close()


def test_del_19_what_reads_is_saved_with_its_counters_and_ids(sound, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(sound[0], state)
    spool = open_spool(state)
    root = spool._thread.submit(
        lambda db: db.number("SELECT rootpage FROM sqlite_master WHERE name = 'receipts_of_key'")
    ).result()
    spool.close()
    with (state / "state.db").open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(b"\xff" * PAGE)
    with Reader.open(sound[0]) as reader:
        [before] = reader.overview()
        dead = reader.dead()
    spool = open_spool(state)
    assert dict(spool.recovered.rows)["messages"] == 341
    with Reader.open(state) as reader:
        [after] = reader.overview()
        assert dataclasses.replace(after, last_run=None) == dataclasses.replace(before, last_run=None)
        assert reader.dead() == dead
        assert reader.cursor("gps") == {"n": 400}
        assert reader.files("gps")[0].state == "reading"
    spool.release_file(1).result()
    assert len(spool.oldest("gps", 0, limit=1000).result()) == 341
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft()]).result()
    assert spool.oldest("gps", 0, limit=1000).result()[-1].id == 402
    spool.close()


def test_del_19_damage_found_while_running_is_repaired_without_a_restart(sound, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(sound[0], state)
    spool = open_spool(state)

    def broken(db):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    assert isinstance(spool._thread.submit(broken).exception(), StateError)
    assert len(spool.oldest("gps", 0, limit=1000).result()) == 340
    assert spool.recovered.reason == "database disk image is malformed"
    spool.close()


@pytest.mark.parametrize("table", ["receipts", "messages"])
def test_del_19_damage_that_a_start_looks_for_nowhere_but_meets(sound, tmp_path, monkeypatch, table):
    """In a large table, which is not checked: a start looks there for what was delivered (see `paying`)."""
    monkeypatch.setattr(opening, "_CHECK_WHOLE", 0)
    state = tmp_path / "state"
    shutil.copytree(sound[0], state)
    with contextlib.closing(sqlite3.connect(state / "state.db")) as db:
        [(root,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,))
    with (state / "state.db").open("r+b") as file:
        file.seek((root - 1) * PAGE)
        file.write(b"\xff" * PAGE)
    spool = open_spool(state)
    assert spool.recovered is not None
    assert "malformed" in spool.recovered.reason
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(b"new")], cursor={"n": 401}).result()
    assert spool.oldest("gps", 0, limit=1000).result()[-1].body == b"new"
    spool.close()


def test_a_message_whose_bytes_changed_on_the_disk_becomes_a_dead_letter(sound, tmp_path):
    state = tmp_path / "state"
    shutil.copytree(sound[0], state)
    spool = open_spool(state)
    first, second = spool.oldest("gps", 0, limit=2).result()
    spool._thread.submit(
        lambda db: db.raw.execute("UPDATE messages SET body = 'x' WHERE id = ?", (first.id,))
    ).result()
    assert spool.oldest("gps", 0, limit=1).result() == [second]
    assert spool.oldest("gps", 0, limit=1).result() == [second]
    with Reader.open(state) as reader:
        [damaged] = [each for each in reader.dead() if each.reason == "damaged"]
        assert (damaged.key, damaged.answer.status) == (first.key, Answer(status=None, reason="").status)
    spool.close()


@pytest.mark.parametrize("step", ["new", "saved", "set aside"])
def test_a_recovery_that_was_killed_is_finished_at_the_next_start(sound, tmp_path, step):
    state = tmp_path / "state"
    shutil.copytree(sound[0], state)
    path = state / "state.db"
    if step == "new":
        (state / "state.db.new").write_bytes(b"half")
    else:
        shutil.copy(path, state / "state.db.saved")
    if step == "set aside":
        path.rename(state / "state.db.bad.1")
        (state / "state.db-wal").write_bytes(b"old")
    spool = open_spool(state)
    assert spool.recovered is None
    assert len(spool.oldest("gps", 0, limit=1000).result()) == 340
    spool.close()
    assert not (state / "state.db.saved").exists()


@pytest.fixture(params=["0001", "0002", "0003", "0004", "0005", "0006", "0007"])
def older(request, state):
    """A state of an older version, with a message and a run."""
    state.mkdir(mode=0o700)
    migrations.upgrade(state / "state.db", request.param)
    raw = sqlite3.connect(state / "state.db")
    raw.execute(
        "INSERT INTO messages (job, key, run, spooled_at, origin, content_type, headers, crc, body) "
        "VALUES ('gps', 'k', 1, 1, 'a.csv', 'text/csv', '{}', 1, 'x')"
    )
    raw.execute(
        "INSERT INTO runs (job, due, trigger, job_sha, state, started_at) "
        "VALUES ('gps', 1, 'every', 'sha', 'done', 1)"
    )
    raw.commit()
    raw.close()
    return state


def kept(state):
    with contextlib.closing(sqlite3.connect(state / "state.db")) as raw:
        return [raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("messages", "runs")]


def test_a_large_state_of_an_older_version_is_not_damaged(older, monkeypatch):
    """Of a large one only the small tables are looked at, and it does not have all of them yet."""
    monkeypatch.setattr(opening, "_CHECK_WHOLE", 0)
    db, recovered = opening.open_database(older)
    db.close()
    assert recovered is None
    assert kept(older) == [1, 1]


def test_what_reads_of_a_damaged_state_of_an_older_version_is_saved(older):
    db, recovered = opening.open_database(older, "a disk that lies")
    assert db.raw.execute("SELECT as_of FROM messages").fetchone() == (None,)
    db.close()
    assert dict(recovered.rows)["messages"] == 1
    assert kept(older) == [1, 1]


def test_who_only_reads_a_state_of_an_older_version_is_told_what_brings_it_up_to_date(older):
    with pytest.raises(StateError, match="an older version") as refused:
        Reader.open(older)
    assert "the daemon brings it up to date" in refused.value.hint
    assert kept(older) == [1, 1]
