"""A source that does not answer holds up no other job, however few may work at the same moment."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import replace

import pytest

from agent.clock import SystemClock
from agent.collect import Collector
from agent.collect.files import StoppedError
from agent.collect.slots import Slots
from agent.config.model import AgentSettings
from tests.support.collecting import job_of
from tests.support.pulling import rows
from tests.support.scripted import Answer

SOURCE = "type: http\nconnection: api\npath: /items"


async def test_an_api_that_does_not_answer_lets_other_jobs_collect(world, server, tmp_path):
    held = asyncio.Event()
    server.script("/items", Answer(json=rows(1), hold=held))
    pulled = world.job(SOURCE).loaded.plan.jobs["pulled"]
    await world.connect()
    (tmp_path / "a.csv").write_text("id\n7\n")
    settings = replace(AgentSettings(state=tmp_path / "state"), collect_concurrency=1)
    collector = Collector(world.spool, settings, SystemClock(), tools=world.tools)
    collector.set_jobs({"pulled": pulled, "files": job_of("csv", tmp_path / "a.csv", name="files")})
    await collector.start()
    waiting = asyncio.create_task(collector.run_now("pulled"))
    while not server.requests:  # noqa: ASYNC110 - a server of tests tells nobody
        await asyncio.sleep(0.01)
    assert (await collector.run_now("files")).records == 1
    assert not waiting.done()
    held.set()
    assert (await waiting).records == 1
    await collector.stop(5)


async def test_a_program_that_takes_its_time_lets_other_jobs_collect(alone, tmp_path):
    go = tmp_path / "go"
    program = tmp_path / "slow"
    program.write_text(
        f"#!/bin/sh\ntouch {tmp_path}/runs\nuntil [ -e {go} ]; do sleep 0.05; done\necho '[]'\n"
    )
    program.chmod(0o755)
    alone.write("agent.yaml", f"commands: {{allow: [{program}]}}\n")
    printed = alone.job(f"type: command\ncommand: [{program}]").loaded.plan.jobs["pulled"]
    (tmp_path / "a.csv").write_text("id\n7\n")
    settings = replace(AgentSettings(state=tmp_path / "state"), collect_concurrency=1)
    collector = Collector(alone.spool, settings, SystemClock(), tools=alone.tools)
    collector.set_jobs({"pulled": printed, "files": job_of("csv", tmp_path / "a.csv", name="files")})
    await collector.start()
    waiting = asyncio.create_task(collector.run_now("pulled"))
    while not (tmp_path / "runs").exists():  # noqa: ASYNC110 - a program tells nobody
        await asyncio.sleep(0.01)
    assert (await collector.run_now("files")).records == 1
    go.touch()
    assert (await waiting).state == "done"
    await collector.stop(5)


def test_who_comes_back_waits_for_a_slot_and_a_stop_ends_the_waiting():
    stop = threading.Event()
    slots = Slots(1, stop)
    aside, back = threading.Event(), threading.Event()
    said = []

    def first():
        try:
            with slots.hold():
                with slots.aside():
                    aside.set()
                    back.wait()
                said.append("worked")
        except StoppedError:
            said.append("stopped")

    thread = threading.Thread(target=first)
    thread.start()
    aside.wait()
    with slots.hold():  # it was given back
        back.set()
        stop.set()
        thread.join()
    assert said == ["stopped"]
    with slots.hold(), pytest.raises(StoppedError), slots.hold():  # nothing was given back twice
        sys.exit("two at once")
