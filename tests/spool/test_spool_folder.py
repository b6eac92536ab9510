from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from agent.clock import SystemClock
from agent.errors import StateError, StateLocked
from agent.spool import Reader, Spool
from agent.spool.folder import check_machine
from agent.spool.migrations import HEAD, upgrade
from agent.spool.tables import metadata
from tests.support.copies import Copies
from tests.support.spool import open_spool

pytestmark = pytest.mark.usefixtures("made_by_migrations")

ROOT = Path(__file__).parents[2]


def test_sig_04_a_second_owner_is_refused_and_told_the_pid(spool, state):
    with pytest.raises(StateLocked, match=f"daemon with pid {os.getpid()}") as refused:
        open_spool(state)
    assert refused.value.exit_code == 75


def test_the_state_is_for_its_owner_alone(spool, state):
    assert state.stat().st_mode & 0o777 == 0o700
    assert {p.name: p.stat().st_mode & 0o077 for p in state.iterdir()} == dict.fromkeys(
        (p.name for p in state.iterdir()), 0
    )


def test_del_15_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateError) as refused:
        open_spool(tmp_path / "state")
    assert refused.value.exit_code == 78
    assert str(refused.value) == f"the state folder {tmp_path / 'state'} cannot be written: file exists"


def test_del_15_a_read_only_folder_is_refused_in_one_line(tmp_path):
    script = (
        f"mount -t tmpfs none {tmp_path} && mkdir {tmp_path}/state && mount -o remount,ro {tmp_path} && "
        f"exec {sys.executable} -c 'from tests.support.spool import open_spool; from pathlib import Path; "
        f'open_spool(Path("{tmp_path}/state"))\''
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip("no user namespaces here")
    assert (
        f"StateError: the state folder {tmp_path}/state cannot be written: read-only file system"
        in done.stderr
    )


def test_del_20_a_newer_version_is_refused_and_untouched(state):
    open_spool(state).close()
    raw = sqlite3.connect(state / "state.db")
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.execute("PRAGMA journal_mode=DELETE")
    raw.close()
    before = (state / "state.db").read_bytes()
    with pytest.raises(StateError, match="made by a newer version") as refused:
        open_spool(state)
    assert refused.value.exit_code == 78
    assert (state / "state.db").read_bytes() == before
    with pytest.raises(StateError, match="made by a newer version"):
        Reader.open(state)


def test_del_20_the_state_of_another_host_is_refused_until_it_is_taken_over(tmp_path):
    (tmp_path / "id").write_text("0123\n")
    (tmp_path / "other").write_text("4567\n")
    check_machine(tmp_path, tmp_path / "id")
    check_machine(tmp_path, tmp_path / "id")
    check_machine(tmp_path, tmp_path / "no such file")
    with pytest.raises(StateError, match="another host") as refused:
        check_machine(tmp_path, tmp_path / "other")
    assert refused.value.exit_code == 78
    (tmp_path / "machine").unlink()
    check_machine(tmp_path, tmp_path / "other")


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(tmp_path):
    upgrade(tmp_path / "x.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        sequence = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'messages'")).scalar()
    assert "AUTOINCREMENT" in sequence
    engine.dispose()


def test_the_copies_that_other_tests_begin_with_are_what_the_migrations_make(tmp_path):
    copies = Copies()
    told = []
    for name, make in (("steps", upgrade), ("first", copies.upgrade), ("copy", copies.upgrade)):
        path = tmp_path / name
        path.touch()
        make(path)
        raw = sqlite3.connect(path)
        told.append((list(raw.iterdump()), raw.execute("PRAGMA journal_mode").fetchall()))
        raw.close()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "first").read_bytes()
    assert told[0] == told[1] == told[2]


def test_a_session_of_the_first_version_is_still_there_after_the_step_to_the_next(tmp_path):
    path = tmp_path / "x.db"
    upgrade(path, "0001")
    raw = sqlite3.connect(path)
    raw.execute(
        "INSERT INTO sessions (connection, identity, generation, sealed, secret_mark, last_error, updated_at)"
        " VALUES ('p', 'who', 7, x'01', 'mark', '', 1.0)"
    )
    raw.commit()
    upgrade(path)
    found = raw.execute("SELECT generation, sealed, spent FROM sessions").fetchall()
    raw.close()
    assert found == [(7, b"\x01", "")]


def test_a_folder_without_state_reads_as_empty(tmp_path):
    with Reader.open(tmp_path / "nothing") as reader:
        assert (reader.overview(), reader.dead(), reader.cursor("gps"), reader.schema_version()) == (
            [],
            [],
            None,
            "",
        )
    assert not (tmp_path / "nothing").exists()


def test_the_owner_is_named_in_the_lock(state):
    spool = Spool.open(state, max_bytes=10_000_000, clock=SystemClock(), owner="push")
    assert (state / "lock").read_text() == f"{os.getpid()} push\n"
    spool.close()
    open_spool(state).close()
