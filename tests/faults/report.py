"""What a campaign came to, as it stands in docs/RELIABILITY.md."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

from tests.faults.campaign import Outcome

BEGIN, END = "<!-- campaign: begin -->", "<!-- campaign: end -->"


def report(outcome: Outcome) -> str:
    """Markdown."""
    verdict = outcome.verdict
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    head = (
        f"{day}, seed {outcome.settings.seed}, {machine}: **{outcome.kills:,} kills** in {outcome.seconds:,.0f} s"
        f" ({60 * outcome.kills / max(outcome.seconds, 1):.0f} a minute)."
    )
    lines = [
        head,
        "",
        "| | |",
        "| --- | --- |",
        f"| records put in | {verdict.records:,} |",
        f"| lost | **{verdict.lost}** |",
        f"| out of order | **{verdict.out_of_order}** |",
        f"| requests that the target processed or refused | {verdict.requests:,} |",
        f"| repeats (same key, same bytes, each with its reason) | {verdict.repeats:,} |",
        f"| repeats without a reason | **{verdict.unjustified}** |",
        f"| dead letters (records that the target refuses) | {verdict.dead_letters:,} |",
        f"| logins / refreshes | {verdict.logins:,} / {verdict.refreshes:,} |",
        f"| all violations | **{len(verdict.violations)}** |",
        "",
        "| ended by | lives |",
        "| --- | --- |",
    ]
    lines += [f"| {how} | {count} |" for how, count in sorted(outcome.ends.items()) if count]
    disturbed = len(outcome.history.disturbed)
    others = ", ".join(f"{what} {count}" for what, count in sorted(outcome.other.items()))
    lines += ["", f"Also: {disturbed:,} faults of the network, and {others}."]
    return "\n".join(lines) + "\n"


def with_report(document: str, text: str) -> str:
    """The document with this report between its marks."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n{END}{tail}"
