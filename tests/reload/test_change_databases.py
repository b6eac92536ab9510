"""A database is a connection of the plan like any other: its change counts, and no job is touched by it."""

from __future__ import annotations

from dataclasses import replace

from agent.config.model import Plan
from agent.reload.change import diff, settle_into
from tests.support.querying import database, sql_job

JOB = sql_job("SELECT 1 AS id")


def plan(url: str) -> Plan:
    return Plan(databases={"db": database(url)}, jobs={"j": JOB})


def test_a_changed_database_is_a_changed_connection_and_counts_at_once():
    old, new = plan("sqlite:////a.db"), plan("sqlite:////b.db")
    change = diff(old, new)
    assert (change.connections, change.unchanged, change.is_empty) == (("db",), ("j",), False)
    assert settle_into(old, new).databases == new.databases
    assert diff(old, replace(old)).is_empty
