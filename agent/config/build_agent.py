"""agent.yaml → AgentSettings."""

from __future__ import annotations

from pathlib import Path

from agent.config.model import AgentSettings
from agent.config.view import View

_LEAST_MEMORY = 32_000_000
"""DuckDB needs about this much to read anything."""


def build_settings(view: View) -> AgentSettings:
    """The daemon's settings; what is not written keeps its default."""
    default = AgentSettings()
    log, collect = view.section("log"), view.section("collect")
    memory = collect.size("memory", default.collect_memory)
    if memory < _LEAST_MEMORY:
        view.found.error(collect.at("memory"), "is too little to read anything", "write at least 32MB")
    return AgentSettings(
        state=Path(view.text("state") or default.state),
        database=view.word("database", default.database),
        listen=_listen(view.section("web"), default.listen),
        log_level=log.word("level", default.log_level),
        log_format=log.word("format", default.log_format),
        spool_max_bytes=view.section("spool").size("max_bytes", default.spool_max_bytes),
        spool_max_messages=view.section("spool").number("max_messages", 0) or default.spool_max_messages,
        receipts_keep=view.section("receipts").duration("keep", default.receipts_keep),
        receipts_max_bytes=_size_of(view.section("receipts"), "max_bytes"),
        collect_memory=memory,
        collect_threads=collect.number("threads", default.collect_threads),
        collect_concurrency=collect.number("concurrency", default.collect_concurrency),
        commands_allow=view.section("commands").texts("allow"),
    )


def _size_of(view: View, key: str) -> int | None:
    return view.size(key, 0) if key in view else None


def _listen(web: View, default: tuple[str, int] | None) -> tuple[str, int] | None:
    text = web.word("listen", "")
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        return default
    if not 0 <= int(port) <= 65535:  # noqa: PLR2004 - TCP
        web.found.error(
            web.at("listen"), f"there is no port {port}", "ports go from 1 to 65535; 0 takes a free one"
        )
    return host.strip("[]"), int(port)
