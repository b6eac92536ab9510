"""Which path belongs to what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from agent.sandbox.admin import admin_routes
from agent.sandbox.calls import Platform
from agent.sandbox.targets import TARGETS, Endpoint

AUTH_PATH = "/api/v1"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(platform: Platform) -> web.Application:
    """All of the platform as one application."""
    app = web.Application(client_max_size=platform.settings.max_body)
    # Methods are checked by the platform itself: `*` here, so that a 405 is counted like any answer.
    app.router.add_route("*", f"{AUTH_PATH}/auth/password", platform.log_in)
    app.router.add_route("*", f"{AUTH_PATH}/auth/refresh", platform.refresh)
    app.router.add_route("*", TOKEN_PATH, platform.token)
    for endpoint in TARGETS:
        handler = _handler(platform, endpoint)
        app.router.add_route("*", endpoint.path, handler)
        if endpoint.path.endswith("/{name}"):
            app.router.add_route("*", endpoint.path.removesuffix("/{name}"), handler)
    app.router.add_routes(admin_routes(platform))
    app.router.add_route("*", "/{path:.*}", platform.unknown)
    return app


def _handler(platform: Platform, endpoint: Endpoint) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        tail = request.match_info.get("name", "")
        name = f"{endpoint.name}/{tail}" if tail else endpoint.name
        return await platform.target(endpoint, name, request)

    return handle
