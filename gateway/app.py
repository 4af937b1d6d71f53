"""The gateway as an ASGI application."""

import grpc
from starlette.applications import Starlette
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from gateway.health import Alive, Ready
from gateway.openapi import Reference
from gateway.request_log import RequestLog
from gateway.routes import annotated_routes
from gateway.transcoding import Transcoder


def create_app(channel: grpc.aio.Channel, *, deadline_seconds: float, max_body_bytes: int) -> Starlette:
    """Return the application: a route for every rpc that the proto gives one, and the gateway's own.

    Args:
        channel: to the service.
        deadline_seconds: how long a call of it may take.
        max_body_bytes: how long the body of a request may be.
    """
    ready = Ready(channel, deadline_seconds=deadline_seconds)
    routes = []
    for route in annotated_routes():
        transcoder = Transcoder(route, channel, deadline_seconds=deadline_seconds, max_body_bytes=max_body_bytes)
        kind = Route if "{" in route.path else _LiteralRoute
        routes.append(kind(route.path, transcoder, methods=[route.http_method], name=route.rpc.name))
    own = ((Alive.path, Alive()), (Ready.path, ready), (Reference.path, Reference()))
    routes += [Route(path, endpoint, methods=["GET"]) for path, endpoint in own]
    app = _Gateway(routes=routes)
    app.router.redirect_slashes = False  # a redirect would be an answer without the contract's body
    return app


class _LiteralRoute(Route):
    """A route without parameters: compared, where Starlette would match a pattern."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"] != self.path:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": {}}


class _Gateway(Starlette):
    def build_middleware_stack(self) -> ASGIApp:
        # It answers every error: Starlette's own two layers would only be passed through.
        return RequestLog(self.router)
