"""`push-agent status`: what each job and connection is doing, and why it waits."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import age, bad, good, moment, note, size, table
from agent.limit import HIGH
from agent.phrases import counted, number
from agent.web.client import call_and_wait

# A daemon that is alive answers in milliseconds.
PATIENCE = 5.0


@click.command(
    epilog="""\b
Examples:
  push-agent status
  push-agent status --output json | jq '.jobs[] | select(.dead > 0)'
"""
)
@config_option
@state_option
@output_option
def command(config: Path, state: Path | None, output: str) -> int:
    """Show what each job and connection is doing, and why.

    Works with and without a running daemon: without one it shows what the state folder holds.
    """
    snapshot = take(state_folder(config, state))
    if output == "json":
        print_json(snapshot)
    else:
        click.echo(text(snapshot))
    return 0


def take(state: Path) -> dict[str, Any]:
    """From the daemon if one runs, else from the state folder, which is only read."""
    from agent.errors import ControlError  # noqa: PLC0415 - beside what needs it

    try:
        return dict(call_and_wait(state, "status", {}, timeout=PATIENCE))
    except ControlError:
        from agent.status import to_json  # noqa: PLC0415
        from agent.survey import survey  # noqa: PLC0415 - sqlalchemy costs 250 ms

        return to_json(survey(state, time.time()))


def text(snapshot: dict[str, Any]) -> str:
    """The whole snapshot for a person."""
    parts = [_head(snapshot)]
    if snapshot["jobs"]:
        parts.append(_jobs(snapshot["jobs"]))
    parts += [line for job in snapshot["jobs"] for line in _trouble(job)]
    if snapshot["connections"]:
        parts.append(_connections(snapshot["connections"], snapshot["taken_at"]))
    parts += _rejected(snapshot["config"]["rejected"])
    return "\n\n".join(parts)


def _head(snapshot: dict[str, Any]) -> str:
    started = snapshot["started_at"]
    life = good(f"running since {moment(started)}") if started else note("not running")
    spool = snapshot["spool"]
    used = size(spool["bytes"]) + (f" of {size(spool['max_bytes'])}" if spool["max_bytes"] else "")
    if spool["used_ratio"] >= HIGH:
        used = bad(f"{used} ({spool['used_ratio']:.0%} full)")
    if spool["max_messages"]:
        used += f", {number(spool['messages'])} of {counted(spool['max_messages'], 'message')}"
    line = f"push-agent {snapshot['version']}: {life}; state {snapshot['state']}, spool {used}"
    if spool["recovered"]:
        line += "\n" + bad("the state database was damaged; what could be read of it was saved (see *.bad.*)")
    return line


def _jobs(jobs: list[dict[str, Any]]) -> str:
    heads = ("JOB", "NEXT DUE", "LAST RUN", "WAITING", "SIZE", "OLDEST", "DELIVERED", "LAST", "DEAD")
    rows = []
    for job in jobs:
        oldest = job["oldest_waiting_seconds"]
        rows.append(
            (
                job["name"],
                _next_due(job),
                _last_run(job),
                number(job["waiting_messages"]),
                size(job["waiting_bytes"]),
                "-" if oldest is None else age(oldest),
                number(job["delivered_records"]),
                moment(job["last_delivered_at"]),
                number(job["dead"]),
            )
        )
    return table(heads, rows, right=frozenset({3, 4, 5, 6, 8}))


def _next_due(job: dict[str, Any]) -> str:
    if any(one["part"] == "collecting" for one in job["paused"]):
        return "paused"
    return moment(job["next_due_at"])


def _paused(name: str, pauses: list[dict[str, Any]]) -> list[str]:
    """A line for each pause; both halves of one stand in one line."""
    parts: dict[tuple[str, ...], list[str]] = {}
    for one in pauses:
        until = f"until {moment(one['until_at'])}" if one["until_at"] else "until it is resumed"
        where = f" over connection {one['connection']}" if one["connection"] else ""
        told = (where, f"since {moment(one['since_at'])}, {until}", one["reason"])
        parts.setdefault(told, []).append(one["part"])
    return [
        note(f"{name}: ")
        + f"{' and '.join(words)}{where} is paused {span}"
        + (f": {reason}" if reason else "")
        for (where, span, reason), words in parts.items()
    ]


def _limit(name: str, limit: dict[str, Any] | None) -> list[str]:
    if limit is None or limit["used_ratio"] < HIGH:
        return []
    if limit["used_ratio"] >= 1:
        return [bad(f"{name}: ") + f"spool is full: {limit['said']}: collecting waits until some have left"]
    return [note(f"{name}: ") + f"spool is {limit['used_ratio']:.0%} full: {limit['said']}"]


def _last_run(job: dict[str, Any]) -> str:
    run = job["last_run"]
    if job["collecting"]:
        return str(job["collecting"])
    return f"{moment(run['due_at'])} {run['state']}" if run else "-"


def _trouble(job: dict[str, Any]) -> list[str]:
    """One line for each thing that a person should know of a job."""
    lines = []
    name = job["name"]
    run = job["last_run"]
    lines += _limit(name, job["spool_limit"])
    lines += _paused(name, job["paused"])
    if job["quarantined"]:
        lines.append(bad(f"{name}: ") + job["quarantined"])
    if run and run["state"] in {"failed", "skipped"} and run["reason"]:
        lines.append(note(f"{name}: ") + f"last run {run['state']}: {run['reason']}")
    failed = job["last_failed_run"]
    if failed and failed["reason"] and (not run or failed["run"] != run["run"]):
        lines.append(note(f"{name}: ") + f"the run of {moment(failed['due_at'])} failed: {failed['reason']}")
    lines += [_backfill(name, one) for one in job["backfills"] if one["state"] != "done"]
    lines += [note(f"{name} (lane {lane['lane']}): ") + lane["why"] for lane in job["lanes"]]
    lines += _unmoved(job)
    if job["body_limit_bytes"]:
        words = f"its target takes no larger bodies (413): batches of {size(job['body_limit_bytes'])} at most"
        lines.append(note(f"{name}: ") + words)
    if job["dead"]:
        letters = counted(job["dead"], "dead letter")
        if job["oldest_dead_seconds"] is not None:
            oldest = age(job["oldest_dead_seconds"])
            letters += f", {oldest} old" if job["dead"] == 1 else f", the oldest {oldest} old"
        lines.append(bad(f"{name}: ") + f"{letters}: push-agent dead list --job {name}")
    if job["dead"] and job["expired"]:
        old = f"{counted(job['expired'], 'message')} too old to be sent"
        lines.append(note(f"{name}: ") + f"{old}: push-agent dead list --job {name} --reason expired")
    if job["superseded"]:
        useless = f"{counted(job['superseded'], 'message')} superseded"
        lines.append(note(f"{name}: ") + f"{useless}: a newer one of the same value took its place")
    return lines


def _unmoved(job: dict[str, Any]) -> list[str]:
    """Files that stay where they are although they should not."""
    lines = []
    for file in job["unmoved"]:
        words = f"{file['path']} is dealt with, but cannot be moved: {file['reason']}"
        lines.append(note(f"{job['name']}: ") + words)
        if file["hint"]:
            lines.append(
                f"  hint: {file['hint']}; it is not sent again, and its move is tried again by itself"
            )
    more = job["unmoved_files"] - len(job["unmoved"])
    if more > 0:
        lines.append(note(f"{job['name']}: ") + f"{counted(more, 'file')} more cannot be moved")
    return lines


def _backfill(name: str, one: dict[str, Any]) -> str:
    span = f"{one['since_at'][:19]}Z to {one['until_at'][:19]}Z"
    words = f"backfill of {span}: {one['state']} at {one['done_at'][:19]}Z"
    words += f", {counted(one['windows'], 'window')}, {counted(one['records'], 'record')}"
    return note(f"{name}: ") + words + (f": {one['reason']}" if one["reason"] else "")


def _connections(connections: list[dict[str, Any]], taken_at: str) -> str:
    heads = ("CONNECTION", "SESSION", "GENERATION", "EXPIRES", "REFRESHES", "LOGINS", "IN FLIGHT")
    rows = [
        (
            one["name"],
            one["session"] or "-",
            number(one["generation"]),
            moment(one["expires_at"]),
            number(one["refreshes"]),
            number(one["logins"]),
            number(one["in_flight"]),
        )
        for one in connections
    ]
    lines = [table(heads, rows, right=frozenset({2, 4, 5, 6}))]
    for one in connections:
        if one["last_error"]:
            again = f"; next try at {moment(one['next_try_at'])}" if one["next_try_at"] else ""
            lines.append(note(f"{one['name']}: ") + one["last_error"] + again)
        lines += _paused(one["name"], [{**pause, "connection": ""} for pause in one["paused"]])
        if one["paused_until_at"]:
            until = moment(one["paused_until_at"])
            why = one["pacing"]["pause_reason"]
            told = f"the target asked for a pause until {until}" + (f": {why}" if why else "")
            lines.append(note(f"{one['name']}: ") + told)
        lines += [line for origin in one["pacing"]["origins"] for line in _origin(one, origin)]
        lines += _tls(one, taken_at)
    return "\n".join(lines)


def _origin(one: dict[str, Any], origin: dict[str, Any]) -> list[str]:
    """What is out of the ordinary on the way to one host."""
    name, host = one["name"], origin["origin"]
    if origin["circuit"] != "closed":
        verb = "waits" if origin["waiting"] == 1 else "wait"
        waiting = f", {counted(origin['waiting'], 'request')} {verb}" if origin["waiting"] else ""
        again = f"at {moment(origin['next_probe_at'])}" if origin["next_probe_at"] else "now"
        away = f"{host} is away since {moment(origin['away_since_at'])} ({origin['reason']})"
        return [bad(f"{name}: ") + f"{away}: one request at a time tries again, {again}{waiting}"]
    if origin["concurrency_why"]:
        limit = one["pacing"]["concurrency"]
        less = f"{origin['concurrency']} of {limit} requests at once to {host}"
        return [note(f"{name}: ") + f"{less}: {origin['concurrency_why']}"]
    return []


_DAYS_BEFORE = timedelta(days=14)


def _tls(one: dict[str, Any], taken_at: str) -> list[str]:
    name, ends = one["name"], one["certificate_ends_at"]
    lines = []
    if not one["tls_verified"]:
        lines.append(bad(f"{name}: the target's certificate is NOT checked (tls.verify: false)"))
    if one["tls_trouble"]:
        lines.append(bad(f"{name}: ") + one["tls_trouble"])
    if ends:
        left = datetime.fromisoformat(ends) - datetime.fromisoformat(taken_at)
        mark = bad if left <= timedelta() else note
        word = "ended" if left <= timedelta() else "ends"
        if left <= _DAYS_BEFORE:
            lines.append(mark(f"{name}: ") + f"our certificate {word} {moment(ends)}: renew it")
    return lines


def _rejected(files: list[dict[str, Any]]) -> list[str]:
    parts = []
    for file in files:
        lines = [
            bad(f"{file['file']} is rejected")
            + ("; its last good version goes on" if file["kept"] else "; it is not running")
        ]
        for problem in file["problems"]:
            place = f"{problem['line']}:{problem['column']}: " if problem["line"] else ""
            where = f"{problem['path']}: " if problem["path"] else ""
            lines.append(f"  {place}{where}{problem['message']}")
            if problem["hint"]:
                lines.append(f"    hint: {problem['hint']}")
        parts.append("\n".join(lines))
    return parts
