"""What the findings of DNS, TCP and HTTP mean. Pure: findings in, words out."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from agent.doctor.findings import (
    Called,
    Dialled,
    Heard,
    Resolved,
    Try,
    Tunnelled,
    Unheard,
    Unresolved,
    Verdict,
)
from agent.doctor.words import (
    CALL,
    CALL_CLASS_MARKS,
    CALL_CLASSES,
    CALL_MARKS,
    CALL_UNSIGNED,
    CONNECT,
    DNS,
    HTTP,
    TLS,
    Words,
)
from agent.message import JsonValue

CLOCK_WARNING = 30.0
"""Seconds between two clocks that deserve a word: tokens that live a minute feel it."""
CLOCK_ERROR = 300.0
"""Seconds that are no drift any more: certificates and tokens are judged wrongly."""


_FAULT = 500
"""From this status on it is the server's fault (RFC 9110, section 15.6)."""


def skipped(why: str) -> Verdict:
    """A step that could not be taken since another one failed, or was not wanted."""
    return Verdict(mark="skipped", says=why)


def judge_dns(finding: Resolved | Unresolved, host: str) -> Verdict:
    """The host's name."""
    match finding:
        case Resolved(addresses=addresses, literal=True):
            return Verdict(mark="good", says=f"{host} is an address", data={"addresses": list(addresses)})
        case Resolved(addresses=addresses):
            return Verdict(mark="good", says=", ".join(addresses), data={"addresses": list(addresses)})
        case Unresolved(kind=kind, detail=detail):
            words = DNS[kind]
            return Verdict(
                mark="failed",
                says=_joined(f"{host}: {words.says}", detail),
                hint=words.hint,
                data={"fault": kind},
            )
        case _:
            assert_never(finding)


def judge_tcp(finding: Dialled, port: int) -> Verdict:
    """All addresses: one that answers is enough, and one that does not costs deliveries time."""
    answered = finding.answered
    silent = [one for one in finding.tries if one.fault]
    data: dict[str, JsonValue] = {"port": port, "addresses": [_try_data(one) for one in finding.tries]}
    if answered is None:
        first = silent[0] if silent else Try(address="", seconds=0.0, fault="other")
        worst = next((one for one in silent if one.fault != "no family"), first)
        words = CONNECT[worst.fault]
        details = tuple(_try_line(one, port) for one in silent) if len(silent) > 1 else ()
        says = _joined(f"{_joined_port(worst.address, port)}: {words.says}", worst.detail)
        return Verdict(mark="failed", says=says, details=details, hint=words.hint, data=data)
    says = f"{_joined_port(answered.address, port)} answered in {_milliseconds(answered.seconds)}"
    if not silent:
        rest = len(finding.tries) - 1
        return Verdict(mark="good", says=says + (f", and {rest} more" if rest else ""), data=data)
    # IPv6 addresses on a machine without IPv6 are the usual case, and cost nothing.
    harmless = all(one.fault == "no family" for one in silent)
    details = tuple(_try_line(one, port) for one in silent)
    hint = "" if harmless else CONNECT[silent[0].fault].hint
    return Verdict(mark="good" if harmless else "warning", says=says, details=details, hint=hint, data=data)


def judge_proxy(finding: Tunnelled, proxy: str) -> Verdict:
    """What the proxy said when it was asked for a tunnel."""
    data: dict[str, JsonValue] = {"proxy": proxy, "status": finding.status}
    if finding.fault:
        words = HTTP.get(finding.fault) or CONNECT[finding.fault]
        return Verdict(mark="failed", says=f"{proxy}: {words.says}", hint=words.hint, data=data)
    if finding.status == 200:  # noqa: PLR2004 - HTTP
        return Verdict(mark="good", says=f"{proxy} opened a tunnel", data=data)
    says = f"{proxy} refused the tunnel: {finding.status} {finding.detail}".rstrip()
    hint = {
        407: "the proxy wants credentials: give them in `proxy:` (username, password), or correct them",
        403: "the proxy does not allow this host: ask who runs it",
    }.get(finding.status, "ask who runs the proxy")
    return Verdict(mark="failed", says=says, hint=hint, data=data)


def judge_http(finding: Heard | Unheard) -> Verdict:
    """An answer to a request without credentials, and the clocks."""
    match finding:
        case Heard(status=407):
            words = CALL[407]
            return Verdict(mark="failed", says=f"407: {words.says}", hint=words.hint, data={"status": 407})
        case Unheard(fault=fault, detail=detail):
            words = HTTP.get(fault) or TLS[fault]
            says = _joined(words.says, detail)
            return Verdict(
                mark="failed",
                says=says,
                hint=words.hint,
                data={"fault": fault},
                # Some servers do not care for HEAD /: what is sent next may well be answered.
                passable=fault in {"timeout", "closed"},
            )
        case Heard(status=status, server_time=None):
            says = f"{_answer(status)}; no Date, so the clocks cannot be compared"
            data: dict[str, JsonValue] = {"status": status, "clock_difference": None}
            return _mind_fault(Verdict(mark="good", says=says, data=data), status)
        case Heard(status=status, server_time=float(theirs), our_time=ours):
            return _mind_fault(_judge_clock(status, theirs - ours), status)
        case _:
            raise AssertionError(finding)


def _judge_clock(status: int, difference: float) -> Verdict:
    """`difference`: seconds that the server is ahead of us. A Date has whole seconds."""
    data: dict[str, JsonValue] = {"status": status, "clock_difference": round(difference, 1)}
    says = f"{_answer(status)}; "
    if abs(difference) <= CLOCK_WARNING:
        return Verdict(mark="good", says=says + "the clocks agree", data=data)
    says += f"the server's clock is {clock_words(difference)} of ours"
    if abs(difference) <= CLOCK_ERROR:
        hint = "compare this machine's clock: timedatectl"
        return Verdict(mark="warning", says=says, hint=hint, data=data)
    hint = (
        "set this machine's clock (timedatectl; is NTP on?); if it is right, the server's is wrong: "
        "certificates and tokens are then judged wrongly"
    )
    return Verdict(mark="failed", says=says, hint=hint, data=data, passable=True)


def _answer(status: int) -> str:
    return f"{status} without credentials"


def _mind_fault(verdict: Verdict, status: int) -> Verdict:
    """Any status is an answer; one that tells of a fault deserves a word, though only `/` was asked for."""
    if status < _FAULT or verdict.mark != "good":
        return verdict
    hint = "if deliveries get this answer, too, ask the platform; they wait and try again by themselves"
    return replace(verdict, mark="warning", hint=hint)


def clock_words(difference: float) -> str:
    """600 → `10 min ahead`."""
    size = abs(difference)
    text = next(
        f"{size / length:.0f} {unit}"
        for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if size >= 2 * length or length == 1.0
    )
    return f"{text} {'ahead' if difference > 0 else 'behind'}"


def judge_call(finding: Called, *, signed: bool) -> Verdict:
    """The answer to HEAD with the token. `signed` is False for `auth: none`."""
    data: dict[str, JsonValue] = {"status": finding.status or None, "challenge": finding.challenge}
    if not finding.status:
        hint = "the steps above tell more; deliveries wait and try again by themselves"
        return Verdict(mark="failed", says=finding.reason, hint=hint, data=data)
    words = _call_words(finding.status, signed=signed)
    says = f"{finding.status} {finding.reason}".rstrip() + f": {words.says}"
    if finding.challenge:
        says += f" ({finding.challenge})"
    return Verdict(
        mark=CALL_MARKS.get(finding.status) or CALL_CLASS_MARKS.get(finding.status // 100, "warning"),
        says=says,
        hint=words.hint,
        data=data,
    )


def _call_words(status: int, *, signed: bool) -> Words:
    if signed:
        return CALL.get(status) or CALL_CLASSES.get(status // 100) or CALL_CLASSES[1]
    return CALL_UNSIGNED.get(status) or _call_words(status, signed=True)


def _try_line(one: Try, port: int) -> str:
    return _joined(f"{_joined_port(one.address, port)}: {CONNECT[one.fault].says}", one.detail)


def _try_data(one: Try) -> JsonValue:
    return {"address": one.address, "seconds": round(one.seconds, 3), "fault": one.fault}


def _joined_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _joined(says: str, detail: str) -> str:
    return f"{says} ({detail})" if detail else says
