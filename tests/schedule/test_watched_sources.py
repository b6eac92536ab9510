"""`watch: true` with real files, and the scheduler on a real spool."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from agent.clock import SystemClock
from agent.schedule.folders import watch_sources, watched_folders
from agent.schedule.scheduler import Scheduler
from agent.spool import Spool
from agent.watch import FolderWatch
from tests.support.schedules import job, schedule, until


def test_the_folders_of_globs():
    assert watched_folders(["/a/b/*.csv", "/a/b/*.txt", "/c/*/d.csv", "/e/f.csv", "/g/**/*.csv"]) == {
        Path("/a/b"): False,
        Path("/c"): True,
        Path("/e"): False,
        Path("/g"): True,
    }


async def test_a_file_that_is_dropped_makes_its_job_due_and_a_restart_remembers(tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    clock = SystemClock()
    spool = await asyncio.to_thread(Spool.open, tmp_path / "state", max_bytes=10**8, clock=clock)
    watch = FolderWatch(clock)
    await watch.start()
    due = []
    both = schedule(every=timedelta(days=1), watch=True)
    for life in ("first", "second"):
        scheduler = Scheduler(lambda *said: due.append(said), print, spool, clock, watch=watch_sources(watch))
        scheduler.set_jobs({"a": job("a", both, paths=(str(drop / "*.csv"),))})
        await scheduler.start()
        await until(lambda: any(trigger == "watch" for _, _, trigger in due))
        assert any(trigger == "first" for _, _, trigger in due) == (life == "first")
        due.clear()
        (drop / f"{life}.csv").write_text("x")
        await until(lambda: [trigger for _, _, trigger in due] == ["watch"])
        await scheduler.stop()
        due.clear()
    await watch.close()
    await asyncio.to_thread(spool.close)
