"""What the findings of secrets, sign-in and refresh mean. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from agent.doctor.findings import NoToken, SignedIn, Verdict
from agent.message import JsonValue

_MINUTE = 60.0


class Reference(NamedTuple):
    """One secret that a connection names, and what is wrong with it; never its value."""

    name: str
    """As it is written: `{secret: password}`."""
    path: str
    """Where: `auth.password`."""
    problem: str = ""
    hint: str = ""


def judge_secrets(found: Sequence[Reference], *, daemon: bool) -> Verdict:
    """`daemon`: whether one runs, which reads its own, for example from systemd's credentials."""
    wrong = [each for each in found if each.problem]
    data: dict[str, JsonValue] = {
        "references": [
            {"name": each.name, "path": each.path, "problem": each.problem, "hint": each.hint}
            for each in found
        ]
    }
    if not found:
        return Verdict(mark="good", says="none are named", data={"references": []})
    names = ", ".join(each.name for each in found)
    if not wrong:
        return Verdict(mark="good", says=f"readable: {names}", data=data)
    details = tuple(f"{each.path}: {each.problem}" for each in wrong)
    if daemon:
        says = "not all are readable from here; the daemon reads its own, and goes on with them"
        hint = "run this as the daemon's user, or look at LoadCredential= of the service"
        return Verdict(mark="warning", says=says, details=details, hint=hint, data=data)
    says = "not readable" if len(wrong) == len(found) else "not all are readable"
    return Verdict(mark="failed", says=says, details=details, hint=wrong[0].hint, data=data)


def judge_sign_in(finding: SignedIn | NoToken, now: float, *, fixed: bool) -> Verdict:
    """`fixed`: a session whose token nobody renews."""
    match finding:
        case NoToken():
            return _judge_none(finding)
        case SignedIn():
            logged_in = finding.after.logins > finding.before.logins
            refreshed = finding.after.refreshes > finding.before.refreshes
            how = "by login" if logged_in else "by refresh" if refreshed else "with the stored token"
            if fixed:
                return Verdict(mark="good", says="the secret is there and goes with each request")
            return _judge_token(finding, f"signed in {how}", now)


def judge_refresh(finding: SignedIn | NoToken, now: float, *, fixed: bool) -> Verdict:
    """A rotation that was asked for."""
    match finding:
        case NoToken():
            return _judge_none(finding)
        case SignedIn():
            if fixed:
                return Verdict(mark="good", says="the secret was read again; there is nothing to rotate")
            logged_in = finding.after.logins > finding.before.logins
            return _judge_token(
                finding, "the refresh token was dead: a new login" if logged_in else "rotated", now
            )


def _judge_token(finding: SignedIn, how: str, now: float) -> Verdict:
    data: dict[str, JsonValue] = {
        "generation": finding.generation,
        "expires_at": _moment(finding.expires_at),
        "logins": finding.after.logins,
        "refreshes": finding.after.refreshes,
    }
    left = "" if finding.expires_at is None else f", good for {_span(finding.expires_at - now)}"
    return Verdict(mark="good", says=f"{how}: generation {finding.generation}{left}", data=data)


def _judge_none(finding: NoToken) -> Verdict:
    data: dict[str, JsonValue] = {"failures": finding.failures, "next_try_at": _moment(finding.next_try)}
    hint = finding.hint or "push-agent auth status tells more"
    return Verdict(mark="failed", says=finding.text, hint=hint, data=data)


def _span(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{max(seconds, 0.0):.0f} s"
    return f"{seconds / _MINUTE:.0f} min"


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
