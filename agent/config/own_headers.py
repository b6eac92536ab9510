"""Headers that push-agent sets itself: nobody's key or token may stand in one of them."""

from __future__ import annotations

from agent.config.view import View

# A key in one of them would be overwritten or break the request.
OWN_HEADERS = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-type", "expect", "host",
        "idempotency-key", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


def check_own_header(view: View, key: str) -> None:
    """A problem where the key names one of them."""
    name = view.text(key)
    if name and name.lower() in OWN_HEADERS:
        view.found.error(
            view.at(key), f"{name} is set by push-agent itself", "use the header the platform names"
        )
