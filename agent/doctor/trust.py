"""What a TLS handshake and its certificates mean. Pure: findings and the time in, words out."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.doctor.findings import Certificate, Shaken, Unshaken, Verdict
from agent.doctor.verdicts import CLOCK_ERROR, clock_words
from agent.doctor.words import TLS
from agent.message import JsonValue
from agent.tls import SOON

_DAY = 86_400.0
_MOST_NAMES = 5
_OF_CLOCK = frozenset({"expired", "not yet valid"})


def judge_tls(finding: Shaken | Unshaken, host: str, now: float) -> Verdict:
    """Who the server is, who says so, and for how long. `now` is our wall clock."""
    match finding:
        case Shaken():
            return _judge_good(finding, now)
        case Unshaken():
            return _judge_bad(finding, host, now)


def judge_plain(*, loopback: bool) -> Verdict:
    """`http://`: there is no TLS."""
    if loopback:
        return Verdict(mark="good", says="plain http, to this machine itself")
    return Verdict(
        mark="warning",
        says="plain http: whatever is sent can be read on the way",
        hint="use https:// if there is any",
    )


def _judge_good(finding: Shaken, now: float) -> Verdict:
    data: dict[str, JsonValue] = {
        "version": finding.version,
        "cipher": finding.cipher,
        "verified": finding.verified,
        "chain": [_data(each, now) for each in finding.chain],
    }
    says = f"{finding.version}, {finding.cipher}"
    details = describe(finding.chain, now)
    if not finding.verified:
        return Verdict(
            mark="warning",
            says=f"{says}; verification is off: anybody could be at the other end",
            details=details,
            hint="delete `tls.verify: false`; an authority of your own goes into `tls.ca`",
            data=data,
        )
    ending = min(finding.chain, key=lambda each: each.ends, default=None)
    if ending is None:
        return Verdict(mark="good", says=says, data=data)
    left = (ending.ends - now) / _DAY
    whose = "the certificate" if ending is finding.chain[0] else f"the certificate of {ending.subject}"
    says += f"; {whose} ends on {_date(ending.ends)}, {_days(left)}"
    if ending.ends - now < SOON:
        hint = "the platform must renew it before that day: afterwards nothing is sent any more"
        return Verdict(mark="warning", says=says, details=details, hint=hint, data=data)
    return Verdict(mark="good", says=says, details=details, data=data)


def _judge_bad(finding: Unshaken, host: str, now: float) -> Verdict:
    words = TLS[finding.fault]
    says, hint = words.says, words.hint
    own = finding.chain[0] if finding.chain else None
    if finding.fault == "wrong name" and own is not None:
        there = ", ".join(own.names[:_MOST_NAMES]) or own.subject
        more = len(own.names) - _MOST_NAMES
        says += f": {there}{f' and {more} more' if more > 0 else ''}, not {host}"
    elif finding.fault in _OF_CLOCK and own is not None:
        culprit = _culprit(finding, now) or own
        when = (
            f"ended on {_date(culprit.ends)}"
            if finding.fault == "expired"
            else f"begins on {_date(culprit.begins)}"
        )
        says += f": that of {culprit.subject} {when}"
        hint = _clock_hint(finding, now) or hint
    elif finding.detail:
        says += f" ({finding.detail})"
    return Verdict(
        mark="failed",
        says=says,
        details=describe(finding.chain, now),
        hint=hint,
        data={
            "fault": finding.fault,
            "detail": finding.detail,
            "chain": [_data(each, now) for each in finding.chain],
        },
    )


def _culprit(finding: Unshaken, now: float) -> Certificate | None:
    """Which of the chain it is."""
    for each in finding.chain:
        if each.ends < now if finding.fault == "expired" else each.begins > now:
            return each
    return None


def _clock_hint(finding: Unshaken, now: float) -> str:
    """Whether our own clock is to blame; the server's is no proof, since nobody vouches for it now."""
    if finding.server_time is None:
        return ""
    difference = finding.server_time - now
    if abs(difference) <= CLOCK_ERROR:
        return ""
    return (
        f"your clock may be wrong: the server's is {clock_words(difference)} of it; compare with another "
        "source (timedatectl; is NTP on?)"
    )


def describe(chain: tuple[Certificate, ...], now: float) -> tuple[str, ...]:
    """One line for each certificate: who, by whom, from when to when."""
    lines = []
    for each in chain:
        by = "self-signed" if each.self_signed else f"signed by {each.issuer}"
        left = (each.ends - now) / _DAY
        life = f"{_date(each.begins)} to {_date(each.ends)}, {_days(left)}"
        lines.append(f"{each.subject}, {by}; {life}")
        if each.names:
            more = len(each.names) - _MOST_NAMES
            names = ", ".join(each.names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
            lines.append(f"  for {names}")
    return tuple(lines)


def _data(each: Certificate, now: float) -> JsonValue:
    return {
        "subject": each.subject,
        "issuer": each.issuer,
        "names": list(each.names),
        "not_before": _moment(each.begins),
        "not_after": _moment(each.ends),
        "days_left": round((each.ends - now) / _DAY, 1),
    }


def _days(left: float) -> str:
    if left < 0:
        return "over"
    return f"{left:.0f} days left" if left >= 2 else f"{left * 24:.0f} hours left"  # noqa: PLR2004


def _date(seconds: float) -> str:
    return _moment(seconds)[:10]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
