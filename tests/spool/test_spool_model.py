"""The queue against a plain-Python model of it, over restarts."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.parts import Progress
from agent.spool import Left, Reader
from tests.support.spool import draft, letter, open_spool, receipt, stamp

JOBS = ("a", "b")
LANES = (0, 1)


class Queue(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.spool = open_spool(self.folder)
        self.runs = {job: self.spool.start_run(job, 1.0, "every", "sha").result() for job in JOBS}
        self.waiting: list[tuple[str, int, str, int | None]] = []  # job, lane, key, file; in order
        self.held: dict[int, str] = {}
        self.delivered = dict.fromkeys(JOBS, 0)
        self.dead = dict.fromkeys(JOBS, 0)
        self.records = dict.fromkeys(JOBS, 0)  # delivered
        self.left: dict[str, tuple[int, int]] = {}  # key: records and bytes that wait
        self.files = 0

    def visible(self, job, lane):
        return [key for j, n, key, file in self.waiting if (j, n) == (job, lane) and file not in self.held]

    @rule(job=st.sampled_from(JOBS), lanes=st.lists(st.sampled_from(LANES), max_size=5))
    def append(self, job, lanes):
        keys = self.spool.append(self.runs[job], [draft(lane=lane, records=5) for lane in lanes]).result()
        self.left |= dict.fromkeys(keys, (5, len(b"body")))
        self.waiting += [(job, lane, key, None) for lane, key in zip(lanes, keys, strict=True)]

    @rule(job=st.sampled_from(JOBS), lanes=st.lists(st.sampled_from(LANES), min_size=1, max_size=3))
    def hold(self, job, lanes):
        self.files += 1
        file = self.spool.open_file(job, self.runs[job], stamp(), f"{self.files}", hold=True).result()
        drafts = [draft(lane=lane, records=5) for lane in lanes]
        keys = self.spool.append(self.runs[job], drafts, file=file).result()
        self.left |= dict.fromkeys(keys, (5, len(b"body")))
        self.waiting += [(job, lane, key, file) for lane, key in zip(lanes, keys, strict=True)]
        self.held[file] = job

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 100), give_up=st.booleans())
    def release(self, which, give_up):
        file = sorted(self.held)[which % len(self.held)]
        del self.held[file]
        if give_up:
            self.spool.abandon_file(file, "bad row").result()
            self.waiting = [each for each in self.waiting if each[3] != file]
        else:
            self.spool.release_file(file).result()

    @rule(job=st.sampled_from(JOBS), lane=st.sampled_from(LANES), refused=st.booleans())
    def settle(self, job, lane, refused):
        for message in self.spool.oldest(job, lane, limit=1).result():
            assert message.key == self.visible(job, lane)[0]
            if refused:
                self.spool.bury(message, letter(message)).result()
                self.dead[job] += 1
            else:
                self.spool.ack(message, receipt(message)).result()
                self.delivered[job] += 1
                self.records[job] += message.records
            self.waiting = [each for each in self.waiting if each[2] != message.key]

    @rule(job=st.sampled_from(JOBS), lane=st.sampled_from(LANES), good=st.booleans(), bad=st.booleans())
    def part(self, job, lane, good, bad):
        """A message becomes smaller: a part of it is delivered, one record of it is refused, or neither."""
        for message in self.spool.oldest(job, lane, limit=1).result():
            gone = good + bad
            if message.records <= gone:
                continue
            left = Left(
                progress=str(Progress(records=5, pieces=(((gone + 1, 5),), ((len(message.progress), 1),)))),
                records=message.records - gone,
                size=message.size - (1 if gone else 0),
            )
            part = replace(message, records=1)
            step = (message, left)
            more = {"receipts": [receipt(part)] * good, "letters": [letter(part)] * bad}
            self.spool.part(*step, **more).result()
            self.spool.part(*step, **more).result()  # again: no effect
            self.left[message.key] = (left.records, left.size)
            self.delivered[job] += good
            self.records[job] += good
            self.dead[job] += bad

    @rule()
    def reopen(self):
        self.spool.close()
        self.spool = open_spool(self.folder)
        assert self.spool.recovered is None

    @rule(job=st.sampled_from(JOBS), lane=st.sampled_from(LANES), count=st.integers(2, 9), dies=st.booleans())
    def deliver(self, job, lane, count, dies):
        """Several leave one after the other, as a lane lets them; and nothing else happens before a kill."""
        gone = self.spool.oldest(job, lane, limit=count).result()
        assert [message.key for message in gone] == self.visible(job, lane)[:count]
        for message in gone:
            self.spool.ack(message, receipt(message)).result()
            self.spool.ack(message, receipt(message)).result()  # again: no effect
        self.delivered[job] += len(gone)
        self.records[job] += sum(message.records for message in gone)
        keys = {message.key for message in gone}
        self.waiting = [each for each in self.waiting if each[2] not in keys]
        if dies:
            self.kill()

    @rule()
    def kill(self):
        """What lies on the disk at this moment is all that is left."""
        copy = Path(tempfile.mkdtemp())

        def take(_):  # in the one thread that writes
            for each in self.folder.glob("state.db*"):
                shutil.copyfile(each, copy / each.name)

        self.spool._thread.submit(take, writes=False, regardless=True).result()
        self.spool.close()
        shutil.rmtree(self.folder)
        self.folder = copy
        self.spool = open_spool(copy)
        assert self.spool.recovered is None

    @invariant()
    def all_is_as_it_should(self):
        self.the_counters_are_right()  # as they lie there, also where something is owed
        self.each_lane_shows_what_it_should()
        self.a_file_is_settled_once_its_messages_have_left()

    def each_lane_shows_what_it_should(self):
        for job in JOBS:
            for lane in LANES:
                keys = [message.key for message in self.spool.oldest(job, lane, limit=1000).result()]
                assert keys == self.visible(job, lane)
        lanes = [(job, lane) for job in JOBS for lane in LANES if self.visible(job, lane)]
        assert self.spool.lanes().result() == lanes

    def the_counters_are_right(self):
        with Reader.open(self.folder) as reader:
            for each in reader.overview():
                held = sum(1 for job, _, _, file in self.waiting if job == each.job and file in self.held)
                waiting = sum(1 for job, *_ in self.waiting if job == each.job) - held
                assert (each.waiting, each.held) == (waiting, held)
                assert (each.delivered, each.dead) == (self.delivered[each.job], self.dead[each.job])
                assert each.delivered_records == self.records[each.job]
                left = [
                    self.left[key]
                    for job, _, key, file in self.waiting
                    if job == each.job and file not in self.held
                ]
                assert each.waiting_records == sum(records for records, _ in left)
                assert each.waiting_bytes == sum(size for _, size in left)

    def a_file_is_settled_once_its_messages_have_left(self):
        alive = {file for *_, file in self.waiting} | set(self.held)
        settled = {each.file.id for each in self.spool.settled_files().result()}
        with closing(sqlite3.connect(self.folder / "state.db")) as db:
            rows = {row[0]: row[1:] for row in db.execute("SELECT id, waiting, waiting_records FROM files")}
        for each in range(1, self.files + 1):
            of_file = [key for *_, key, file in self.waiting if file == each]
            assert rows[each] == (len(of_file), sum(self.left[key][0] for key in of_file))
        assert settled == set(range(1, self.files + 1)) - alive

    def teardown(self):
        self.spool.close()
        shutil.rmtree(self.folder)


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
