"""The pages as ASGI endpoints."""

from collections.abc import Collection, Iterator, Mapping
from importlib.resources import files

import grpc
from connectingparty.sale.v1.access_pb2 import Party
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.openapi import describe
from gateway.pages import Development
from gateway.pages.errors import errors_page
from gateway.pages.layout import ASSETS, ERRORS, REFERENCE, SALES, SIGNATURES, navigation
from gateway.pages.own_names import OwnNamesOnly
from gateway.pages.reference import reference_page
from gateway.pages.sales import SalePage, SalesPage
from gateway.pages.sending import send_page, send_protected
from gateway.pages.signatures import signatures_page
from gateway.routes import annotated_routes

_TYPES = {".css": b"text/css", ".js": b"text/javascript", ".json": b"application/json", ".svg": b"image/svg+xml"}


def page_routes(
    channel: grpc.aio.Channel,
    parties: Collection[Party.ValueType],
    development: Development | None,
    *,
    deadline_seconds: float,
) -> Iterator[tuple[str, ASGIApp]]:
    """Yield the paths of the pages and what answers them.

    Args:
        channel: to the service, which is asked in development mode only.
        parties: whose operations this server has; the others can't be tried out.
        development: what there is in development mode; None outside it.
        deadline_seconds: how long a call of the service may take.
    """
    routes = list(annotated_routes())
    reference = describe(routes)
    pages = navigation(development=development is not None)
    control_key = None if development is None else development.control_key
    yield REFERENCE, Fixed(REFERENCE, reference_page(reference, routes, parties, pages, control_key))
    yield SIGNATURES, Fixed(SIGNATURES, signatures_page(pages, control_key))
    yield ERRORS, Fixed(ERRORS, errors_page(reference, pages))
    yield f"{ASSETS}/{{name}}", Assets()
    if development is not None:
        yield SALES, OwnNamesOnly(SalesPage(channel, pages, deadline_seconds=deadline_seconds))
        yield f"{SALES}/{{invoice_id}}", OwnNamesOnly(SalePage(channel, pages, deadline_seconds=deadline_seconds))


class Fixed:
    """A page that is always the same.

    Args:
        path: of it.
        html: what it is.
    """

    def __init__(self, path: str, html: bytes) -> None:
        self._path = path
        self._html = html

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["state"]["record"].route = self._path
        await send_page(scope, send, self._html)


class Assets:
    """The files that the pages need, read once."""

    def __init__(self) -> None:
        folder = files("gateway.pages") / "assets"
        self._files: Mapping[str, tuple[bytes, bytes]] = {
            file.name: (_TYPES[f".{file.name.rpartition('.')[2]}"], file.read_bytes()) for file in folder.iterdir()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: `ERROR_REASON_PATH_NOT_FOUND`.
        """
        scope["state"]["record"].route = f"{ASSETS}/{{name}}"
        found = self._files.get(scope["path_params"]["name"])
        if found is None:
            raise GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND)
        content_type, content = found
        await send_protected(scope, send, content_type, content)
