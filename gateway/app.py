"""The gateway as an ASGI application."""

from typing import NoReturn

import grpc
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.health import Alive, Ready
from gateway.request_log import RequestLog
from gateway.routes import annotated_routes
from gateway.transcoding import Transcoder


def create_app(channel: grpc.aio.Channel, *, deadline_seconds: float, max_body_bytes: int) -> Starlette:
    """Return the application: a route for every rpc that the proto gives one, and the two of the health checks.

    Args:
        channel: to the service.
        deadline_seconds: how long a call of it may take.
        max_body_bytes: how long the body of a request may be.
    """
    ready = Ready(channel, deadline_seconds=deadline_seconds)
    routes = [Route(Alive.path, Alive(), methods=["GET"]), Route(Ready.path, ready, methods=["GET"])]
    for route in annotated_routes():
        transcoder = Transcoder(route, channel, deadline_seconds=deadline_seconds, max_body_bytes=max_body_bytes)
        routes.append(Route(route.path, transcoder, methods=[route.http_method], name=route.rpc.name))
    app = Starlette(
        routes=routes, middleware=[Middleware(RequestLog)], exception_handlers={HTTPException: _refuse_route}
    )
    app.router.redirect_slashes = False  # a redirect would be an answer without the contract's body
    return app


async def _refuse_route(request: Request, error: Exception) -> NoReturn:
    headers = getattr(error, "headers", None) or {}
    if allowed := headers.get("Allow"):
        raise GatewayError(
            ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, headers=((b"allow", allowed.encode()),)
        ) from error
    raise GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND) from error
