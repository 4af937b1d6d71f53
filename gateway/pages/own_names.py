"""Requests under a name that somebody else gave this host."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.http_messages import header_values

_MESSAGE = "Sales are shown under an IP address or localhost, not under another name."


class OwnNamesOnly:
    """An endpoint that is there under an address or localhost only.

    Any page on the internet can let its own name lead to 127.0.0.1, and then reads in the developer's browser whatever
    is answered under that name.

    Args:
        app: the endpoint.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: `ERROR_REASON_PATH_NOT_FOUND`, under another name.
        """
        for host in header_values(scope, b"host"):
            if not _is_own(host.decode("latin-1")):
                raise GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND, _MESSAGE)
        await self._app(scope, receive, send)


def _is_own(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False
