"""A file is moved whole, once, and over no other: between file systems, and killed at every step."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agent import copying, moving
from agent.moving import move_aside
from agent.renaming import rename_new
from agent.sources.files import sha256_of, stamp_of
from tests.support.another import another_file_system

ROOT = Path(__file__).parents[2]
CONTENT = b"id;plate\n1;AA-11-BB\n"
NOTE = {"file": "x", "job": "j", "time": "t", "reason": "r", "answers": []}


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a.csv").write_bytes(CONTENT)
    return folder


@pytest.fixture
def elsewhere(inbox):
    """A folder on another file system."""
    folder = another_file_system(inbox) / f"push-agent-{os.getpid()}-{inbox.parent.name}"
    folder.mkdir()
    yield folder / "done"
    shutil.rmtree(folder)


@pytest.fixture(params=["same", "another"])
def target(request, inbox):
    """Where it goes: on the same file system, and on another one."""
    return inbox / "done" if request.param == "same" else request.getfixturevalue("elsewhere")


def move(inbox, target, name="a.csv", **more):
    return move_aside(inbox / name, str(target), more.pop("stamp", stamp_of(inbox / name)), **more)


def lying(folder):
    """All that lies in it and below, by its name, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".json")
    }


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# ---------------------------------------------------------------------------------- whole


def test_what_is_moved_keeps_its_bytes_its_time_and_its_mode(inbox, target):
    (inbox / "a.csv").chmod(0o640)
    os.utime(inbox / "a.csv", ns=(1, 1_700_000_000_123_456_789))
    before = (inbox / "a.csv").stat()
    assert move(inbox, target, sha256=sha256_of(inbox / "a.csv")) == (target / "a.csv", "")
    after = (target / "a.csv").stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_size) == (
        before.st_mtime_ns,
        before.st_mode,
        before.st_size,
    )
    assert (target / "a.csv").read_bytes() == CONTENT
    assert names(inbox) in ([], ["done"])


def test_a_name_that_is_taken_gets_a_number_and_nothing_is_written_over(inbox, target):
    target.mkdir()
    for number in ("", ".1"):
        (target / f"a.csv{number}").write_text(f"another{number}")
    assert move(inbox, target) == (target / "a.csv.2", "")
    assert lying(target) == {"a.csv": b"another", "a.csv.1": b"another.1", "a.csv.2": CONTENT}


def test_a_file_that_takes_the_name_in_the_last_moment_is_not_written_over(inbox, target, monkeypatch):
    def rename(one, other):
        if other.name == "a.csv" and "done" in str(other.parent.readlink()):
            other.write_text("quicker")
        rename_new(one, other)

    monkeypatch.setattr(moving, "rename_new", rename)
    assert move(inbox, target) == (target / "a.csv.1", "")
    assert lying(target) == {"a.csv": b"quicker", "a.csv.1": CONTENT}


def test_a_rename_that_takes_no_name_does_without_the_kernel_where_it_must(inbox, monkeypatch):
    monkeypatch.setattr("agent.renaming._renameat2", lambda: lambda _one, _other: errno.EINVAL)
    (inbox / "b.csv").write_text("b")
    with pytest.raises(FileExistsError):
        rename_new(inbox / "a.csv", inbox / "b.csv")
    rename_new(inbox / "a.csv", inbox / "c.csv")
    assert lying(inbox) == {"b.csv": b"b", "c.csv": CONTENT}


# ---------------------------------------------------------------------------------- folders


def test_folders_on_the_way_are_made(inbox):
    assert move(inbox, "archive/2026/done/")[0] == inbox / "archive/2026/done/a.csv"


def test_a_folder_of_another_place_whose_place_is_missing_is_not_made(inbox, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        move(inbox, tmp_path / "not mounted" / "done")
    assert caught.value.filename == str(tmp_path / "not mounted" / "done")
    assert lying(inbox) == {"a.csv": CONTENT}
    assert not (tmp_path / "not mounted").exists()


def test_a_folder_that_is_a_link_of_our_own_leads_outside(inbox, tmp_path):
    (tmp_path / "outside").mkdir()
    (inbox / "done").symlink_to(tmp_path / "outside")
    assert move(inbox, "done/")[0] == inbox / "done" / "a.csv"
    assert lying(tmp_path / "outside") == {"a.csv": CONTENT}


def test_a_disk_that_is_full_leaves_the_file_where_it_was(inbox, elsewhere, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        move(inbox, elsewhere)
    assert lying(inbox) == {"a.csv": CONTENT}
    assert lying(elsewhere) == {}
    monkeypatch.undo()
    assert move(inbox, elsewhere) == (elsewhere / "a.csv", "")


def test_a_folder_on_a_read_only_file_system_is_an_error_and_the_file_stays(inbox, tmp_path):
    (tmp_path / "ro").mkdir()
    script = 'mount -t tmpfs -o ro none "$1" && exec "$0" -m tests.support.move_child'
    words = ["unshare", "-Urm", "sh", "-c", script, sys.executable, str(tmp_path / "ro")]
    asked = json.dumps([str(inbox / "a.csv"), str(tmp_path / "ro" / "done"), 0, False])
    done = subprocess.run(
        words, cwd=ROOT, input=asked, capture_output=True, text=True, timeout=50, check=False
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip("no user namespaces here")
    assert done.stdout == "1\n"
    assert f"Read-only file system: '{tmp_path}/ro/done'" in done.stderr
    assert lying(inbox) == {"a.csv": CONTENT}


# ---------------------------------------------------------------------------------- others meanwhile


def test_new_work_that_takes_the_name_just_now_stays_in_its_place(inbox, target, monkeypatch):
    stamp = stamp_of(inbox / "a.csv")
    real = moving.rename_new

    def swapped(one, other):
        if one.name == "a.csv" and one.read_bytes() == CONTENT:
            (inbox / "fresh").write_text("new work")
            (inbox / "fresh").rename(inbox / "a.csv")
        real(one, other)

    monkeypatch.setattr(moving, "rename_new", swapped)
    assert move(inbox, target, stamp=stamp) == (None, "it changed since it was read")
    assert lying(inbox) == {"a.csv": b"new work"}
    assert not target.exists() or lying(target) == {}


def test_a_writer_that_goes_on_during_the_copy_keeps_its_file(inbox, elsewhere, monkeypatch):
    real = moving.copied

    def written_to(*words):
        done = real(*words)
        with (inbox / ".a.csv.moving").open("ab") as file:
            file.write(b"2;more\n")
        return done

    monkeypatch.setattr(moving, "copied", written_to)
    assert move(inbox, elsewhere) == (None, "it changed since it was read")
    assert lying(inbox) == {"a.csv": CONTENT + b"2;more\n"}
    assert lying(elsewhere) == {}


def test_a_copy_that_is_not_what_was_read_is_none(inbox, elsewhere):
    """Same size, same time, other bytes: only the hash tells."""
    assert move(inbox, elsewhere, sha256="0" * 64) == (None, "it changed since it was read")
    assert lying(inbox) == {"a.csv": CONTENT}
    assert lying(elsewhere) == {}


def test_new_work_that_a_dead_process_had_taken_comes_back(inbox, target):
    stamp = stamp_of(inbox / "a.csv")
    (inbox / "a.csv").unlink()
    (inbox / ".a.csv.moving").write_text("new work")
    assert move(inbox, target, stamp=stamp) == (None, "it changed since it was read")
    assert lying(inbox) == {"a.csv": b"new work"}
    (inbox / ".a.csv.moving").write_text("more of it")
    assert move(inbox, target, stamp=stamp) == (None, "it changed since it was read")
    assert lying(inbox) == {"a.csv": b"new work", "a.csv.1": b"more of it"}


def test_a_file_of_the_same_name_that_came_while_a_copy_was_under_way_stays(inbox, target):
    stamp = stamp_of(inbox / "a.csv")
    (inbox / "a.csv").rename(inbox / ".a.csv.moving")
    (inbox / "a.csv").write_text("new work")
    assert move(inbox, target, stamp=stamp) == (target / "a.csv", "")
    assert {name: text for name, text in lying(inbox).items() if "done" not in name} == {"a.csv": b"new work"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make links of another user")
def test_sec_10_a_folder_that_is_swapped_for_a_link_all_the_time_lets_nothing_out(inbox, tmp_path):
    """Whoever may write to the drop folder puts a link in the place of `done` again and again."""
    private = tmp_path / "private"
    private.mkdir()
    (inbox / "link").symlink_to(private)
    os.lchown(inbox / "link", 54_321, 54_321)
    (inbox / "a.csv").unlink()
    over = threading.Event()

    def swap():
        for number in itertools.count():
            for one, other in (("done", f"old{number}"), ("link", "done"), ("done", "link")):
                with contextlib.suppress(OSError):
                    (inbox / one).rename(inbox / other)
            if over.is_set():
                return

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for number in range(80):
            path = inbox / f"{number}.csv"
            path.write_bytes(CONTENT)
            with contextlib.suppress(OSError):
                move_aside(path, "done/", stamp_of(path), note=lambda: NOTE)
    finally:
        over.set()
        swapper.join()
    assert names(private) == []
    assert sorted(int(path.stem) for path in inbox.rglob("*.csv")) == list(range(80))


# ---------------------------------------------------------------------------------- NAME.why.json


def test_a_reason_of_before_is_replaced_and_a_file_of_somebody_else_with_its_name_is_not(inbox):
    failed = inbox / "failed"
    failed.mkdir()
    (failed / "a.csv.why.json").write_text(json.dumps({**NOTE, "reason": "old"}))
    assert move(inbox, "failed/", note=lambda: NOTE)[0] == failed / "a.csv"
    assert json.loads((failed / "a.csv.why.json").read_text()) == NOTE
    (inbox / "b.csv").write_text("b")
    (failed / "b.csv.why.json").write_text('{"data": 1}')
    assert move(inbox, "failed/", "b.csv", note=lambda: NOTE)[0] == failed / "b.csv.1"
    assert (failed / "b.csv.why.json").read_text() == '{"data": 1}'
    assert json.loads((failed / "b.csv.1.why.json").read_text()) == NOTE


def test_there_is_no_reason_beside_a_file_that_is_not_there(inbox, elsewhere):
    stamp = stamp_of(inbox / "a.csv")
    assert move(inbox, elsewhere, sha256="0" * 64, stamp=stamp, note=lambda: NOTE)[0] is None
    assert names(elsewhere) == []


# ---------------------------------------------------------------------------------- kill -9


@pytest.fixture(scope="module")
def mover():
    """Moves a file in a process that dies before a step of it; how it ended."""
    command = [sys.executable, "-m", "tests.support.move_child"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:

        def run(source, target, step, *, failed):
            process.stdin.write(json.dumps([str(source), str(target), step, failed]) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield run
        process.stdin.close()


@pytest.mark.parametrize("failed", [False, True], ids=["done", "failed"])
def test_a_kill_at_any_step_of_a_move_loses_nothing_doubles_nothing_and_leaves_no_half_file(
    inbox, target, mover, failed
):
    killed = 0
    while True:
        stamp, sha256 = stamp_of(inbox / "a.csv"), sha256_of(inbox / "a.csv")
        ended = mover(inbox / "a.csv", target, killed + 1, failed=failed)
        if ended == 0:
            break
        killed += 1
        assert ended == -signal.SIGKILL
        look_after_a_kill(inbox, target)
        note = (lambda: NOTE) if failed else None
        assert move_aside(inbox / "a.csv", str(target), stamp, sha256=sha256, note=note) == (
            target / "a.csv",
            "",
        )
        assert (target / "a.csv").read_bytes() == CONTENT
        assert names(target) == (["a.csv", "a.csv.why.json"] if failed else ["a.csv"])
        assert names(inbox) in ([], ["done"])
        # Once more, from the start.
        shutil.move(target / "a.csv", inbox / "a.csv")
        shutil.rmtree(target)
    assert killed >= 3


def look_after_a_kill(inbox, target):
    """The file is here or there, whole; while it is copied, here under a hidden name."""
    assert CONTENT in [*lying(inbox).values(), *lying(target).values()]
    seen = [name for name in names(target) if not name.startswith(".")]
    assert set(seen) <= {"a.csv", "a.csv.why.json"}
    if "a.csv" in seen:
        assert (target / "a.csv").read_bytes() == CONTENT
    if "a.csv.why.json" in seen:
        assert json.loads((target / "a.csv.why.json").read_text())["job"]


def test_a_copy_of_which_the_original_is_left_is_not_made_twice(inbox, elsewhere):
    """As after a kill between the rename of the copy and the end of the original."""
    stamp = stamp_of(inbox / "a.csv")
    elsewhere.mkdir()
    shutil.copy2(inbox / "a.csv", elsewhere / "a.csv")
    (inbox / "a.csv").rename(inbox / ".a.csv.moving")
    assert move(inbox, elsewhere, stamp=stamp) == (elsewhere / "a.csv", "")
    assert (lying(inbox), lying(elsewhere)) == ({}, {"a.csv": CONTENT})


def test_a_file_that_only_looks_like_the_copy_is_not_taken_for_it(inbox, elsewhere):
    stamp = stamp_of(inbox / "a.csv")
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_bytes(CONTENT[::-1])
    shutil.copystat(inbox / "a.csv", elsewhere / "a.csv")
    (inbox / "a.csv").rename(inbox / ".a.csv.moving")
    assert move(inbox, elsewhere, stamp=replace(stamp)) == (elsewhere / "a.csv.1", "")
    assert lying(elsewhere) == {"a.csv": CONTENT[::-1], "a.csv.1": CONTENT}
