"""The gateway as an ASGI application."""

from collections.abc import Callable, Collection, Iterable, Sequence

import grpc
from connectingparty.sale.v1.access_pb2 import Party
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Scope

from gateway.health import Alive, Ready
from gateway.openapi import Reference
from gateway.request_log import RequestLog
from gateway.request_record import RequestRecord
from gateway.routes import annotated_routes
from gateway.transcoding import Transcoder

PARTIES = frozenset({Party.PARTY_CONSUMER, Party.PARTY_PAYMENT_GATEWAY})
"""Whoever sends something over HTTP."""


def create_app(
    channel: grpc.aio.Channel,
    parties: Collection[Party.ValueType] = PARTIES,
    *,
    deadline_seconds: float,
    is_overloaded: Callable[[], bool] = lambda: False,
    pages: Iterable[tuple[str, ASGIApp]] = (),
    observe: Callable[[RequestRecord, float], None] | None = None,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> Starlette:
    """Return the application: a route for every rpc that the proto gives one, and the gateway's own.

    Args:
        channel: to the service.
        parties: whose rpcs are served.
        deadline_seconds: how long a call of it may take.
        is_overloaded: tells whether others should get the requests for now.
        pages: paths that are served besides, and what answers them.
        observe: as of `RequestLog`.
        around: puts something around all that answers a request.
    """
    ready = Ready(channel, deadline_seconds=deadline_seconds, is_overloaded=is_overloaded)
    routes = []
    for route in annotated_routes():
        if route.party not in parties:
            continue
        transcoder = Transcoder(route, channel, deadline_seconds=deadline_seconds)
        kind = _kind(route.path)
        routes.append(kind(route.path, transcoder, methods=[route.http_method], name=route.rpc.name))
    own: list[tuple[str, ASGIApp]] = [(Alive.path, Alive()), (Ready.path, ready)]
    if Party.PARTY_CONSUMER in parties:
        own.append((Reference.path, Reference()))
    routes += [_kind(path)(path, endpoint, methods=["GET"]) for path, endpoint in (*own, *pages)]
    app = _Gateway(routes, observe, around)
    app.router.redirect_slashes = False  # a redirect would be an answer without the contract's body
    return app


class _LiteralRoute(Route):
    """A route without parameters: compared, where Starlette would match a pattern, and take a newline at its end."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"] != self.path:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL
        return match, {"endpoint": self.endpoint, "path_params": {}}


def _kind(path: str) -> type[Route]:
    return Route if "{" in path else _LiteralRoute


class _Gateway(Starlette):
    def __init__(
        self,
        routes: Sequence[BaseRoute],
        observe: Callable[[RequestRecord, float], None] | None,
        around: Callable[[ASGIApp], ASGIApp],
    ) -> None:
        super().__init__(routes=routes)
        self._observe = observe
        self._around = around

    def build_middleware_stack(self) -> ASGIApp:
        # It answers every error: Starlette's own two layers would only be passed through.
        return self._around(RequestLog(self.router, self._observe))
