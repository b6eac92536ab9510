"""Growing logs over kills, stops, and a writer that rotates and truncates: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.sources import log_part
from agent.spool import Reader, Spool
from tests.support.collecting import Place, csv_text, job_of, run_child

ROWS = 12_000


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
@pytest.mark.parametrize("seed", range(3))
def test_del_48_a_kill_at_any_statement_of_a_run_loses_and_repeats_nothing(
    place, inbox, tmp_path, seed, on_bad_row
):
    log, state = inbox / "app.csv", tmp_path / "state"
    log.write_text(csv_text(ROWS))
    place.spool.close()
    dice = random.Random(f"{seed} {on_bad_row}")
    options = {"reread": "appended", "on_bad_row": on_bad_row}
    died = run_child(state, inbox / "app.csv*", dice.randint(5, 160), **options)
    assert died.returncode in {-signal.SIGKILL, 0}, died.stderr
    with log.open("a") as file:
        file.write(csv_text(500, ROWS + 1).removeprefix("id\n"))
    log.rename(inbox / "app.csv.1")
    log.write_text(csv_text(500, ROWS + 501))
    died = run_child(state, inbox / "app.csv*", dice.randint(5, 160), **options)
    assert died.returncode in {-signal.SIGKILL, 0}, died.stderr
    assert run_child(state, inbox / "app.csv*", **options).stdout.startswith("done")
    spool = Spool.open(state, max_bytes=10**9, clock=SystemClock())
    assert Place(spool, tmp_path).ids() == list(range(1, ROWS + 1001))
    keys = [one.key for one in spool.oldest("j", 0, limit=100_000, max_bytes=10**9).result()]
    assert len(set(keys)) == len(keys)
    spool.close()


@pytest.mark.parametrize("on_bad_row", ["fail", "dead_letter"])
def test_del_48_a_stop_in_a_part_is_gone_on_with_although_the_log_has_grown(place, inbox, on_bad_row):
    log = inbox / "app.csv"
    log.write_text(csv_text(40_000))
    job = job_of("csv", log, reread="appended", on_bad_row=on_bad_row)
    asked = iter(range(7))
    place.stopped = lambda: next(asked, None) is None
    first = place.run(job)
    assert first.state == "stopped"
    place.stopped = lambda: False
    visible = len(place.ids())
    assert (0 < visible < 40_000) if on_bad_row == "dead_letter" else visible == 0
    with log.open("a") as file:
        file.write("40001\n")
    assert place.run(job).state == "done"
    assert place.ids() == list(range(1, 40_002))


@dataclass
class Writer:
    """Writes records with numbers into a log, and does to it what writers and logrotate do."""

    log: Path
    dice: random.Random
    number: int = 0
    unread: set[int] = field(default_factory=set)
    """Complete, and not met by a run yet."""
    lost: set[int] = field(default_factory=set)
    begun: int | None = None
    """The record that is written in half."""
    files: int = 0
    rotated: bool = False

    def append(self) -> None:
        """Some records; maybe the last one in half."""
        with self.log.open("a") as file:
            if file.tell() == 0:
                file.write("id,text\n")
            self.finish(file.write)
            for _ in range(self.dice.randint(0, 40)):
                self.number += 1
                self.unread.add(self.number)
                file.write(f"{self.number}{self.text()}\n")
            if self.dice.random() < 0.5:
                self.number += 1
                self.begun = self.number
                file.write(f'{self.number},"half of\na')

    def finish(self, write: Callable[[str], object]) -> None:
        if self.begun is not None:
            write(' text"\n')
            self.unread.add(self.begun)
            self.begun = None

    def text(self) -> str:
        return self.dice.choice([",", ",x", ',"a ""b"""', ',"two\nlines"', ',5" pipe', "," + "y" * 3000])

    def drop_half(self) -> None:
        if self.begun is not None:
            self.lost.add(self.begun)
            self.begun = None

    def rename(self) -> None:
        """And create."""
        if self.rotated or not self.log.exists():
            return
        self.drop_half()
        self.files += 1
        self.rotated = True
        self.log.rename(self.log.with_name(f"app.csv.{self.files}"))
        self.log.write_text("")

    def copy_and_truncate(self) -> None:
        if self.rotated or not self.log.exists():
            return
        self.drop_half()
        self.files += 1
        self.rotated = True
        shutil.copyfile(self.log, self.log.with_name(f"app.csv.{self.files}"))
        os.truncate(self.log, 0)

    def truncate(self) -> None:
        """Without a copy: what no run has met is lost."""
        if self.rotated or not self.log.exists():
            return
        self.rotated = True
        self.drop_half()
        self.lost |= self.unread
        self.unread = set()
        os.truncate(self.log, 0)


@pytest.mark.parametrize("named", ["app.csv", "app.csv*"])
@pytest.mark.parametrize("seed", range(4))
def test_del_48_49_a_writer_that_appends_rotates_and_truncates_loses_and_repeats_nothing(
    place, inbox, monkeypatch, seed, named
):
    monkeypatch.setattr(log_part, "_PIECE", 700)
    monkeypatch.setattr(log_part.cut, "__defaults__", (5000,))
    dice = random.Random(f"{seed} {named}")
    writer = Writer(inbox / "app.csv", dice)
    job = job_of("csv", inbox / named, reread="appended", on_bad_row=dice.choice(["fail", "dead_letter"]))
    writer.log.write_text("")
    place.run(job)
    for _ in range(12):
        steps = [writer.append, writer.append, writer.append, writer.rename, writer.truncate]
        if named.endswith("*"):
            steps.append(writer.copy_and_truncate)
        for _ in range(dice.randint(1, 4)):
            dice.choice(steps)()
        if dice.random() < 0.3:
            asked = iter(range(dice.randint(1, 30)))
            place.stopped = lambda asked=asked: next(asked, None) is None
            place.run(job)
            place.stopped = lambda: False
        result = place.run(job)
        assert result.state == "done", result.reason
        writer.unread, writer.rotated = set(), False
    with writer.log.open("a") as file:
        writer.finish(file.write)
    place.run(job)
    wanted = [number for number in range(1, writer.number + 1) if number not in writer.lost]
    assert sorted(place.ids()) == wanted
    with Reader.open(place.temp.parent / "state") as reader:
        assert reader.dead("j") == []
