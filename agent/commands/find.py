"""`push-agent find`: whether it was sent, when, in which request, with what answer; or where it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.commands.options import config_option, output_option, print_json, state_folder, state_option
from agent.commands.screen import bad, good, moment, note, printable, size
from agent.errors import AgentError, ControlError
from agent.phrases import counted, number, rfc3339
from agent.trace import MOST_TOLD, Trace, from_json
from agent.web.client import call_and_wait

PATIENCE = 5.0
"""Seconds; one that is alive answers in milliseconds."""
BODY_SHOWN = 500


@click.command(
    epilog="""\b
Examples:
  push-agent find 4711                            a record's key (receipt.keys in the job)
  push-agent find 3f1c9e0a7d2b44f1-501            an Idempotency-Key, as the target has logged it
  push-agent find 4711 --job trips --limit 1      only the latest of this job
  push-agent find 4711 --output json | jq '.[].answer.status'
"""
)
@config_option
@state_option
@output_option
@click.option("--job", default="", help="Only of this job.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.argument("key")
def command(  # noqa: PLR0917 - one for each option
    config: Path, state: Path | None, output: str, job: str, limit: int, key: str
) -> int:
    """Find a message by a key of its records, or by its Idempotency-Key.

    Tells when it was sent, in which request, and what the target answered; or where it is now. What waits
    comes first, then dead letters, then what has left, the newest first. Exit code 1 when nothing is found.
    """
    found = look(state_folder(config, state), key, job, limit)
    if output == "json":
        print_json([_as_json(one) for one in found])
    elif found:
        click.echo("\n\n".join(_as_text(one) for one in found))
        if len(found) == limit:
            click.echo(note(f"\nthe first {limit}; there may be more (--limit)"))
    if not found:
        of = f" of {job}" if job else ""
        raise AgentError(
            f"nothing{of} is known of the key {printable(key)[:100]}",
            hint="a record's key is kept where its job has `receipt: {keys: […]}`, as long as receipts.keep",
        )
    return 0


def look(state: Path, key: str, job: str, limit: int) -> list[Trace]:
    """From the daemon if one runs, else from the state folder, which is only read."""
    try:
        return _ask(state, key, job, limit)
    except ControlError:  # one of another version too: it may know no `find`, or say it in other words
        from agent.spool import Outside  # noqa: PLC0415 - only where no daemon is asked

        with Outside.open(state) as outside:
            return outside.find(key, job=job, limit=limit)


def _ask(state: Path, key: str, job: str, limit: int) -> list[Trace]:
    if limit > MOST_TOLD:
        raise ControlError("the daemon does not find so many")
    answer = call_and_wait(state, "find", {"key": key, "job": job, "limit": limit}, timeout=PATIENCE)
    try:
        return [from_json(one) for one in answer["found"]]  # type: ignore[union-attr, arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise ControlError("the daemon speaks of it in other words") from error


def _as_json(one: Trace) -> dict[str, Any]:
    answer = one.answer
    return {
        "state": one.fate,
        "job": one.job,
        "lane": lane(one),
        "key": one.key,
        "run": one.run,
        "origin": one.origin,
        "records": one.records,
        "size": one.size,
        "spooled_at": rfc3339(one.spooled_at),
        "settled_at": None if one.settled_at is None else rfc3339(one.settled_at),
        "attempts": one.attempts,
        "request": {"method": one.method, "url": one.url} if one.method else None,
        "answer": None
        if answer is None
        else {
            "status": answer.status,
            "reason": answer.reason,
            "headers": dict(answer.headers),
            "body": answer.body,
        },
        "dead_letter": None if one.letter is None else {"id": one.letter, "reason": one.reason},
        "ahead": one.ahead,
        "why": why(one) if one.settled_at is None else "",
    }


def lane(one: Trace) -> int:
    """Its number, as a job's file has it."""
    from agent.message import lane_number  # noqa: PLC0415 - beside what needs it

    return lane_number(one.lane)


def why(one: Trace) -> str:
    """Of a message that waits, in one sentence."""
    if one.fate == "held":
        return "what it was read from is not read to its end yet"
    if one.earlier:
        return "what was spooled in the job's order of before leaves first"
    if one.wait is not None:
        from agent.status import LaneStatus, explain  # noqa: PLC0415 - 20 ms, for what waits only

        wait = one.wait
        return explain(
            LaneStatus(
                lane=lane(one),
                kind=wait.kind,
                reason=wait.reason,
                since_at=wait.since,
                until_at=wait.until,
                attempts=wait.attempts,
            )
        )
    return f"{counted(one.ahead, 'message')} in front of it" if one.ahead else "it is next"


def _as_text(one: Trace) -> str:
    lines = [
        _headline(one),
        f"  from {one.origin}, {counted(one.records, 'record')}, {size(one.size)}, run {one.run}",
        f"  Idempotency-Key: {one.key}",
        f"  spooled {moment(rfc3339(one.spooled_at))}, {counted(one.attempts, 'attempt')}",
    ]
    if one.method:
        lines.append(f"  {one.method} {one.url}")
    if one.answer is not None and one.fate != "superseded":
        lines.append("  answer: " + one.answer.reason)
        if one.answer.body:
            body = printable(one.answer.body[:BODY_SHOWN])
            lines.append("  " + body + (" …" if len(one.answer.body) > BODY_SHOWN else ""))
    return "\n".join(lines)


def _headline(one: Trace) -> str:
    at = "" if one.settled_at is None else moment(rfc3339(one.settled_at))
    if one.fate == "delivered":
        return good("delivered ") + f"{at} by {one.job}"
    if one.fate == "superseded":
        said = one.answer.reason if one.answer is not None else ""
        return note("not sent ") + f"by {one.job}: {at} {said}"
    if one.fate == "dead":
        shown = f"push-agent dead show {one.letter}"
        return bad("not delivered ") + f"by {one.job}: {one.reason} {at}; dead letter {one.letter}: {shown}"
    place = f"lane {lane(one)}, place {number(one.ahead + 1)}"
    return note(one.fate + " ") + f"in {one.job}, {place}: {why(one)}"
