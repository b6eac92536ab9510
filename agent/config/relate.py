"""What one file says about another: a job's connections, endpoints, where a sign-in goes, what may run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agent.config.build_job import JobParts
from agent.config.model import (
    CommandSource,
    Connection,
    Database,
    HttpSource,
    NoAuth,
    SqlSource,
    Target,
    Where,
)
from agent.config.urls import READ_BY_PROXY, is_open, is_read_by, origin
from agent.config.view import View
from agent.config.words import did_you_mean


def relate(
    view: View, parts: JobParts, connections: Mapping[str, Connection | Database], broken: Mapping[str, str]
) -> None:
    """Check where a job sends to. `broken`: name → file of those connections that have errors."""
    if parts.target is not None:
        _way(view.section("target"), parts.target, connections, broken, "a target")


def relate_source(
    view: View,
    parts: JobParts,
    connections: Mapping[str, Connection | Database],
    broken: Mapping[str, str],
    allowed: Collection[str],
) -> None:
    """Check where a job reads from. `allowed`: the programs that may run."""
    source = parts.source
    if isinstance(source, HttpSource):
        _way(view.section("source"), source, connections, broken, "a source of type http")
    elif isinstance(source, SqlSource):
        _database(view, source, connections, broken)
    elif isinstance(source, CommandSource):
        program = source.command[0]
        if program in allowed or not program.startswith("/"):
            return
        hint = f"allow it in agent.yaml: `commands: {{allow: [{program}]}}`"
        view.found.error(source.program, f"the program {program} is not allowed to run", hint)


def _way(
    where: View,
    way: Target | HttpSource,
    connections: Mapping[str, Connection | Database],
    broken: Mapping[str, str],
    who: str,
) -> None:
    name = way.connection
    connection = connections.get(name)
    known = {key: one for key, one in connections.items() if isinstance(one, Connection)}
    if isinstance(connection, Connection):
        _endpoint(where, way, connection)
        _origin(where, way, connection)
    elif isinstance(connection, Database):
        hint = did_you_mean(name, known, otherwise=f"{who} needs a connection of type http")
        where.found.error(where.at("connection"), f"the connection {name} is a database", hint)
    else:
        _unknown(where, where.at("connection"), name, known, broken)


def _database(
    view: View,
    source: SqlSource,
    connections: Mapping[str, Connection | Database],
    broken: Mapping[str, str],
) -> None:
    at, name = view.section("source").at("connection"), source.connection
    databases = {key: one for key, one in connections.items() if isinstance(one, Database)}
    if isinstance(connections.get(name), Connection):
        hint = did_you_mean(name, databases, otherwise="a SQL source needs a connection of type database")
        view.found.error(at, f"the connection {name} is no database", hint)
    elif name not in databases:
        _unknown(view, at, name, databases, broken)


def _unknown(
    view: View, where: Where, name: str, known: Mapping[str, object], broken: Mapping[str, str]
) -> None:
    if name in broken:
        hint = "repair that file first"
        view.found.error(where, f"the connection {name} has errors: {broken[name]}", hint)
        return
    have = ", ".join(sorted(known)[:20])
    other = f"there are: {have}" if have else "there is none; connections lie in connections/*.yaml"
    view.found.error(where, f"there is no connection {name}", did_you_mean(name, known, otherwise=other))


def _endpoint(where: View, target: Target | HttpSource, connection: Connection) -> None:
    if target.endpoint is not None:
        if target.endpoint in connection.endpoints:
            return
        have = ", ".join(list(connection.endpoints)[:20])
        other = f"there are: {have}" if have else "it has no endpoints"
        hint = did_you_mean(target.endpoint, connection.endpoints, otherwise=other)
        message = f"the connection {connection.name} has no endpoint {target.endpoint}"
        where.found.error(where.at("endpoint"), message, hint)
    elif target.path is not None and target.url is None and connection.base is None:
        message = f"the connection {connection.name} has no url that the path could follow"
        where.found.error(where.at("path"), message, "add `url:` to the connection, or name an endpoint too")


def _origin(where: View, target: Target | HttpSource, connection: Connection) -> None:
    """A token goes only where its connection says: a job cannot send it to another host."""
    to = origin(target.url or "")
    if target.url is None or to is None or not to.scheme or isinstance(connection.auth, NoAuth):
        return
    own = [*connection.endpoints.values(), *([connection.base] if connection.base else [])]
    if is_open(target.url):
        message = "a sign-in must not travel over plain http, where anybody on the way can read it"
        where.found.error(
            where.at("url"), message, "write https:// (http:// is allowed to this machine only)"
        )
    elif connection.proxy is not None and is_read_by(connection.proxy, target.url):
        where.found.error(where.at("url"), READ_BY_PROXY, "write https://")
    elif to not in {origin(url) for url in own}:
        message = f"the host is none of the connection {connection.name}, and its sign-in goes nowhere else"
        where.found.error(where.at("url"), message, "add the URL to the connection's endpoints")
