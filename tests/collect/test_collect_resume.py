"""What was begun is gone on with: after a kill, a stop, a full spool; nothing lost, nothing twice, in order."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.collect.files import AGAIN
from agent.sources import excel
from agent.spool import Reader, Spool
from tests.render.test_excel_source import workbook
from tests.support.clock import FakeClock
from tests.support.collecting import Place, csv_text, job_of, run_child
from tests.support.rendering import make_job
from tests.support.spool import receipt

ROWS = 40_000
ROWS_HELD = 2200


@pytest.fixture
def big(inbox):
    """Enough for several chunks."""
    path = inbox / "a.csv"
    path.write_text(csv_text(ROWS))
    return path


def stop_after(checks):
    """Says that the agent stops from the given question on."""
    asked = iter(range(checks))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("seed", range(4))
def test_del_01_02_03_a_kill_at_any_statement_of_a_run_loses_and_repeats_nothing(
    place, inbox, tmp_path, seed
):
    for name, start in (("a", 1), ("b", 5001), ("c", 10_001)):
        (inbox / f"{name}.csv").write_text(csv_text(5000, start))
    place.spool.close()
    state = tmp_path / "state"
    died = run_child(state, inbox / "*.csv", random.Random(seed).randint(5, 260))
    assert died.returncode in {-signal.SIGKILL, 0}, died.stderr
    assert run_child(state, inbox / "*.csv").stdout.startswith("done")
    spool = Spool.open(state, max_bytes=10**9, clock=SystemClock())
    assert Place(spool, tmp_path).ids() == list(range(1, 15_001))
    assert spool.cursor("j").result() in ({"files": []}, None)
    spool.close()


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_a_stop_in_mid_file_ends_the_run_at_its_next_chunk_and_the_next_run_goes_on(place, big, on_bad_row):
    job = job_of("csv", big, on_bad_row=on_bad_row)
    place.stopped = stop_after(5)
    first = place.run(job)
    assert first.state == "stopped"
    assert 0 < first.records < ROWS
    assert len(place.ids()) == (0 if on_bad_row == "fail" else first.records)
    place.stopped = lambda: False
    second = place.run(job)
    assert (second.state, first.records + second.records) == ("done", ROWS)
    assert place.ids() == list(range(1, ROWS + 1))


def test_a_file_whose_content_changed_in_the_middle_is_begun_anew(place, big):
    job = job_of("csv", big)
    place.stopped = stop_after(5)
    assert place.run(job).records > 0
    place.stopped = lambda: False
    big.write_text(csv_text(50, start=7))
    assert place.run(job).records == 50
    assert place.ids() == list(range(7, 57))
    assert place.rows("j", big)[1] == ("failed", f"{AGAIN}its content changed in the middle")


def test_a_file_is_not_sent_half_by_the_old_and_half_by_the_new_text_of_its_job(place, big):
    job = job_of("csv", big)
    place.stopped = stop_after(5)
    place.run(job)
    place.stopped = lambda: False
    assert place.run(replace(job, sha256="v2")).records == ROWS
    assert place.ids() == list(range(1, ROWS + 1))


def test_a_file_that_is_gone_in_the_middle_leaves_nothing_held(place, big):
    job = job_of("csv", big)
    place.stopped = stop_after(5)
    place.run(job)
    place.stopped = lambda: False
    big.unlink()
    assert place.run(job).state == "done"
    assert place.rows("j", big) == [("failed", f"{AGAIN}it is gone")]
    assert place.spool.cursor("j").result() is not None
    assert place.visible() == []


def test_an_interrupted_file_does_not_forget_its_place_when_another_is_read_before_it(place, big, inbox):
    job = job_of("csv", inbox / "*.csv")
    place.stopped = stop_after(5)
    first = place.run(job)
    place.stopped = lambda: False
    other = inbox / "0.csv"
    other.write_text(csv_text(20, start=900_001))
    os.utime(other, (1, 1))
    second = place.run(job)
    assert first.records + second.records == ROWS + 20
    assert sorted(place.ids()) == [*range(1, ROWS + 1), *range(900_001, 900_021)]


def test_a_bad_row_found_after_a_resume_still_keeps_all_of_it_back(place, inbox):
    path = inbox / "a.csv"
    path.write_text(csv_text(ROWS) + "x,y\n")
    job = job_of("csv", path)
    place.stopped = stop_after(5)
    assert place.run(job).state in {"stopped", "failed"}
    place.stopped = lambda: False
    place.run(job)
    assert place.visible() == []
    assert place.rows("j", path)[0][0] == "failed"
    assert sum(one.held for one in overview(place)) == 0


def overview(place):
    with Reader.open(place.temp.parent / "state") as reader:
        return reader.overview()


def small_spool(place, max_bytes):
    place.spool.close()
    place.spool = Spool.open(place.temp.parent / "state", max_bytes=max_bytes, clock=SystemClock())


def deliver_all(place):
    for message in place.spool.oldest("j", 0, limit=100_000, max_bytes=10**9).result():
        place.spool.ack(message, receipt(message)).result()


def noise(inbox, count, size):
    for number in range(count):
        (inbox / f"{number:03d}.bin").write_bytes(random.Random(number).randbytes(size))


def test_del_12_a_full_spool_is_waited_for_and_the_run_goes_on_by_itself(place, inbox, caplog):
    caplog.set_level("INFO", "push_agent")
    small_spool(place, 3_000_000)
    noise(inbox, 20, 300_000)
    delivered = []

    def room():
        delivered.extend(place.visible())
        deliver_all(place)
        return False

    place.hands.on_pause = room
    result = place.run(job_of("file", inbox / "*.bin"))
    assert (result.state, result.messages) == ("done", 20)
    assert "waiting: the spool is full" in place.hands.said
    everything = [*delivered, *place.visible()]
    assert everything == [random.Random(number).randbytes(300_000) for number in range(20)]
    assert "collecting waits: the spool is full" in caplog.text
    assert "the spool has room again" in caplog.text


def test_a_stop_while_the_spool_is_full_is_a_stop(place, inbox):
    small_spool(place, 3_000_000)
    noise(inbox, 20, 300_000)
    place.hands.on_pause = lambda: True
    result = place.run(job_of("file", inbox / "*.bin"))
    assert result.state == "stopped"
    assert 0 < result.messages < 20


def test_a_file_that_can_never_fit_is_given_up_with_a_way_out(place, inbox):
    small_spool(place, 2_000_000)
    path = inbox / "a.bin"
    path.write_bytes(random.Random(1).randbytes(5_000_000))
    result = place.run(job_of("file", path))
    assert (result.state, result.messages) == ("failed", 0)
    assert "does not fit into the spool" in result.reason
    assert "raise spool.max_bytes" in place.rows("j", path)[0][1]


def test_del_12_a_full_disk_is_waited_for_although_nothing_is_left_to_deliver(place, inbox, monkeypatch):
    disk = {"full": True}
    real = os.statvfs

    def statvfs(path):
        found = list(real(path))
        found[4] = 0 if disk["full"] else found[4]  # f_bavail
        return os.statvfs_result(found)

    def room():
        disk["full"] = False
        return False

    monkeypatch.setattr(os, "statvfs", statvfs)
    (inbox / "a.csv").write_text(csv_text(20))
    place.hands.on_pause = room
    result = place.run(job_of("csv", inbox / "*.csv"))
    assert (result.state, result.records) == ("done", 20)
    assert place.ids() == list(range(1, 21))


def random_csv(seed, rows):
    numbers = random.Random(seed)
    return "id\n" + "".join(f"{numbers.randbytes(1000).hex()}\n" for _ in range(rows))


def test_two_files_that_are_held_in_one_spool_do_not_wait_for_each_other_for_ever(place, inbox):
    def minutes_pass():
        place.clock.mono += 25
        return False

    small_spool(place, 3_000_000)
    place.clock = FakeClock()
    for number, name in enumerate(("j", "k")):
        (inbox / f"{name}.csv").write_text(random_csv(number, ROWS_HELD))
    first, second = (job_of("csv", inbox / f"{name}.csv", name=name) for name in ("j", "k"))
    place.stopped = stop_after(9)
    assert place.run(first).state == "stopped"
    place.stopped = lambda: False
    place.hands.on_pause = minutes_pass
    stepped_back = place.run(second)
    assert (stepped_back.state, stepped_back.messages) == ("failed", 0)
    assert "k.csv: the spool is full" in stepped_back.reason
    assert place.rows("k", inbox / "k.csv")[0][1].startswith(AGAIN)
    assert place.run(first).state == "done", "it has the room that the other one gave back"
    deliver_all(place)
    assert place.run(second).records == ROWS_HELD


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_the_chunk_under_way_when_reading_fails_is_not_appended_again_by_the_next_run(
    place, inbox, big, on_bad_row
):
    (inbox / "b.csv").write_text(csv_text(100, ROWS + 1))
    job = job_of("csv", inbox / "*.csv", on_bad_row=on_bad_row)
    pieces = iter(range(1_000_000))

    def is_asked_between_two_pieces():
        # Of all who ask, the reading itself: it ends, and the run goes on.
        return sys._getframe(1).f_code.co_name == "_go_on" and next(pieces) == 1

    place.stopped = is_asked_between_two_pieces
    failed = place.run(job)
    assert (failed.state, failed.reason) == ("failed", "a.csv: reading was cancelled")
    place.stopped = lambda: False
    assert place.run(job).state == "done"
    assert sorted(place.ids()) == list(range(1, ROWS + 101))


def test_a_stop_while_a_file_is_being_opened_stops_the_run(place, inbox, tmp_path, monkeypatch):
    path = workbook(inbox / "plan.xlsx", S=[["id"], [1]])
    begun = tmp_path / "begun"
    (tmp_path / "endless.py").write_text(f"open({str(begun)!r}, 'w')\nwhile True: input")
    job = make_job("excel", path)
    place.stopped = begun.exists
    with monkeypatch.context() as patched:
        patched.setattr(excel, "_WORKBOOK", tmp_path / "endless.py")
        stopped = place.run(job)
    assert (stopped.state, stopped.records) == ("stopped", 0)
    place.stopped = lambda: False
    assert place.run(job).records == 1


def test_a_file_gone_on_with_under_another_name_keeps_its_place_over_the_next_stop(place, big, inbox):
    job = job_of("csv", inbox / "*.csv")
    place.stopped = stop_after(6)
    assert place.run(job).state == "stopped"
    shutil.copy2(big, inbox / "0.csv")
    os.utime(inbox / "0.csv", (1, 1))
    place.stopped = stop_after(3)
    assert place.run(job).state == "stopped"
    place.stopped = lambda: False
    assert place.run(job).state == "done"
    assert place.ids() == 2 * list(range(1, ROWS + 1)), "each of the two files once"
