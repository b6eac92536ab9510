"""Races as one SVG: a bar per competitor. Written by hand, so that nothing has to be installed for it."""

from __future__ import annotations

from html import escape

WIDTH, LEFT, RIGHT = 860, 300, 90
BAR, GAP, HEAD = 18, 6, 46
OURS, THEIRS = "#1f6f8b", "#b9c4c9"
STYLE = "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:14px}.s{fill:#666}"


def svg(races, caption):
    """The text of the picture."""
    parts, y = [], 16
    for race in races:
        names = sorted(race.figures, key=race.median, reverse=True)
        if not names:
            continue
        most = race.median(names[0])
        parts.append(f'<text class="t" x="12" y="{y + 14}">{escape(race.title)}</text>')
        parts.append(f'<text class="s" x="12" y="{y + 31}">{escape(race.unit)}, median</text>')
        y += HEAD
        for name in names:
            value = race.median(name)
            length = max(1.0, (WIDTH - LEFT - RIGHT) * value / most)
            colour = OURS if name.startswith("push-agent") else THEIRS
            parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
            )
            parts.append(f'<text x="{LEFT + length + 6:.1f}" y="{y + 13}">{value:,.0f}</text>')
            y += BAR + GAP
        y += 18
    parts.append(f'<text class="s" x="12" y="{y + 4}">{escape(caption)}</text>')
    height = y + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )
