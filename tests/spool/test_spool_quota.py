"""Full limits and full disks: appends stop, acks go on, nothing is lost, and it resumes by itself."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta

import pytest

from agent.errors import SpoolFull
from agent.spool import Reader
from tests.support.spool import bodies, draft, letter, open_spool, receipt

BODY = os.urandom(20_000)


def fill(spool, run, most=2_000):
    keys = []
    for _ in range(most):
        try:
            keys += spool.append(run, [draft(BODY)], cursor={"n": len(keys) + 1}).result()
        except SpoolFull as full:
            hint = full.hint
            break
    else:
        raise AssertionError("it was never full")
    assert hint
    return keys


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(done.stderr)
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_at_the_limit_nothing_is_appended_and_everything_can_leave(state, clock):
    spool = open_spool(state, max_bytes=3_000_000, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    keys = fill(spool, run)
    assert spool.cursor("gps").result() == {"n": len(keys)}
    assert spool.used_bytes().result() <= spool.max_bytes
    messages = spool.oldest("gps", 0, limit=1000, max_bytes=10**9).result()
    assert [message.key for message in messages] == keys
    for index, message in enumerate(messages):
        settle = (
            spool.bury(message, letter(message)) if index % 10 == 0 else spool.ack(message, receipt(message))
        )
        settle.result()
    assert spool.append(run, [draft(BODY)]).result()
    spool.close()


def test_a_refused_append_harms_no_ack_of_its_group(state, clock):
    spool = open_spool(state, max_bytes=3_000_000, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    fill(spool, run)
    [message, *_] = spool.oldest("gps", 0).result()
    acked, refused = spool.ack(message, receipt(message)), spool.append(run, [draft(BODY * 20)])
    acked.result()
    assert isinstance(refused.exception(), SpoolFull)
    spool.close()


def test_del_12_del_13_on_a_full_disk_acks_are_recorded_and_appends_resume(small_disk, clock):
    spool = open_spool(small_disk / "state", clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    keys = fill(spool, run)
    for _ in range(2):  # twice: an emptied database full of free pages must take appends again
        messages = spool.oldest("gps", 0, limit=1000, max_bytes=10**9).result()
        assert [message.key for message in messages] == keys
        for message in messages:
            spool.ack(message, receipt(message)).result()
        keys = fill(spool, run)
        assert keys
    spool.close()


def test_del_13_an_ack_that_meets_a_really_full_disk_keeps_the_message(small_disk, clock):
    spool = open_spool(small_disk / "state", clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(BODY) for _ in range(100)]).result()
    ballast = small_disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"], capture_output=True, check=False)
    assert isinstance(spool.append(run, [draft(BODY)]).exception(), SpoolFull)
    messages = spool.oldest("gps", 0, limit=1000, max_bytes=10**9).result()
    failed = [m for m in messages if isinstance(spool.ack(m, receipt(m)).exception(), SpoolFull)]
    left = spool.oldest("gps", 0, limit=1000, max_bytes=10**9).result()
    assert failed == left
    ballast.unlink()
    for message in left:
        spool.ack(message, receipt(message)).result()
    assert bodies(spool) == []
    with Reader.open(small_disk / "state") as reader:
        assert reader.overview()[0].delivered == 100
    spool.close()


def test_free_pages_go_back_to_the_disk_after_a_flood(state, clock):
    spool = open_spool(state, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    spool.append(run, [draft(BODY * 10) for _ in range(120)]).result()
    for message in spool.oldest("gps", 0, limit=1000, max_bytes=10**9).result():
        done = spool.ack(message, receipt(message))
    done.result()
    before = (state / "state.db").stat().st_size
    spool.prune(timedelta(days=7)).result()
    spool.close()
    assert (state / "state.db").stat().st_size < before - 4_000_000


def test_a_spool_that_is_full_of_receipts_lets_the_oldest_go_and_takes_messages_again(state, clock, caplog):
    spool = open_spool(state, max_bytes=2_000_000, clock=clock)
    run = spool.start_run("gps", 1.0, "every", "sha").result()
    last = ""
    for _ in range(40):
        try:
            spool.append(run, [draft(b"small") for _ in range(400)]).result()
        except SpoolFull:
            break
        for message in spool.oldest("gps", 0, limit=1000).result():
            done = spool.ack(message, receipt(message))
            last = message.key
        done.result()
    else:
        raise AssertionError("it was never full")
    assert spool.append(run, [draft(b"small") for _ in range(400)]).result(), "the next try finds room"
    assert "full of receipts" in caplog.text
    with Reader.open(state) as reader:
        assert reader.receipts(last), "the newest stay"
    spool.close()
