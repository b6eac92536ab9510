"""What a source has to do with windows of time: whether it reads `:since` and `:until`, and how."""

from __future__ import annotations

from agent.config.model.source import Source


def uses_window(source: Source) -> bool:
    """Whether it reads `:since` and `:until`: its runs are then about windows of time."""
    return bool(getattr(source, "windowed", False))


def holds_window(source: Source) -> bool:
    """Whether what it gives has no cursor of its own: a window is then sent as a whole or not at all."""
    return not getattr(source, "cursor", ())


def window_delay(source: Source) -> float:
    """Seconds after its end at which a window may be pulled: what is written late is in it, too."""
    settle = getattr(source, "settle", None)
    return 0.0 if settle is None else float(settle.age.total_seconds())
