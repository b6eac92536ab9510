"""One line in the log when the spool, or a job's share of it, is nearly full; one when there is room again."""

from __future__ import annotations

import pytest

from agent.levels import Levels
from agent.limit import Limit
from tests.support.spool import draft, open_spool, receipt


class Filled:
    def __init__(self, spool, clock):
        self.spool = spool
        self.run = spool.start_run("gps", 1.0, "every", "sha").result()
        self.levels = Levels(spool, clock)

    async def with_messages(self, count):
        """So many wait, and somebody looks."""
        there = self.spool.oldest("gps", 0, limit=1000).result()
        if count > len(there):
            self.spool.append(self.run, [draft(b"x" * 100) for _ in range(count - len(there))]).result()
        for message in there[: max(0, len(there) - count)]:
            self.spool.ack(message, receipt(message)).result()
        await self.levels.look()


def said(caplog):
    """(event, percent) of each line, in order."""
    return [
        (record.getMessage(), record.push_agent_fields["percent"])
        for record in caplog.records
        if "spool" in record.getMessage() and hasattr(record, "push_agent_fields")
    ]


@pytest.fixture
def filled(spool, clock, caplog):
    caplog.set_level("INFO", "push_agent")
    return Filled(spool, clock)


async def test_a_jobs_share_is_told_at_80_percent_and_below_70_and_not_in_between(filled, caplog):
    filled.spool.limits.jobs = {"gps": Limit(max_messages=100)}
    for count in (10, 79, 80, 100, 85, 79, 81, 71, 90):
        await filled.with_messages(count)
    assert said(caplog) == [("the spool is nearly full", 80)]
    await filled.with_messages(69)
    assert said(caplog)[1:] == [("the spool has room again", 69)]
    await filled.with_messages(81)
    assert len(said(caplog)) == 3
    assert caplog.records[-1].push_agent_fields["job"] == "gps"
    assert caplog.records[-1].push_agent_fields["used"] == "81 of 100 messages"


async def test_the_share_of_all_messages_is_told(filled, caplog):
    filled.spool.limits.total = Limit(max_messages=10)
    await filled.with_messages(9)
    assert said(caplog) == [("the spool is nearly full", 90)]
    assert "job" not in caplog.records[-1].push_agent_fields


async def test_a_job_whose_limit_went_away_is_forgotten(filled, caplog):
    filled.spool.limits.jobs = {"gps": Limit(max_messages=10)}
    await filled.with_messages(9)
    filled.spool.limits.jobs = {}
    await filled.with_messages(9)
    filled.spool.limits.jobs = {"gps": Limit(max_messages=10)}
    await filled.with_messages(9)
    assert said(caplog) == [("the spool is nearly full", 90)] * 2


async def test_the_size_of_the_database_is_told(state, clock, caplog):
    spool = open_spool(state, max_bytes=3_000_000, clock=clock)
    filled = Filled(spool, clock)
    await filled.levels.look()
    assert said(caplog) == []
    spool.append(filled.run, [draft(b"x" * 100_000) for _ in range(26)]).result()
    await filled.levels.look()
    [(event, percent)] = said(caplog)
    assert event == "the spool is nearly full"
    assert percent >= 80
    assert "of 3,000,000 bytes" in caplog.records[-1].push_agent_fields["used"]
    spool.close()
