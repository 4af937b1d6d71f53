"""The whole server in this process, apart from its sockets: the gateway over the service over a file of SQLite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.types import EventDict, WrappedLogger

from gateway.app import create_app
from gateway.program.reloading import SettingsSource
from gateway.program.settings import load_settings
from gateway.program.values import Address
from service.program.domain import Domain, create_domain
from service.program.observation import Observation
from service.program.serve import ServiceServer
from service.program.settings import ServiceSettings
from tests.merchant import write_config

_JSON = (b"content-type", b"application/json")
_ADDRESS = ("127.0.0.1", 50_000)


class Answer(NamedTuple):
    """What the application sent."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class WholeServer:
    """The application, what is behind it, and what it logs.

    Args:
        app: the application.
        domain: what it serves.
    """

    def __init__(self, app: ASGIApp, domain: Domain) -> None:
        self._app = app
        self.domain = domain
        self.logged: dict[str, int] = {}
        """How many lines there are of each event."""

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a body that is said to be JSON."""
        return await self.send("POST", path, body=body, headers=(_JSON, (b"content-length", b"%d" % len(body))))

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
    ) -> Answer:
        """Send a request as uvicorn hands it on, and return the answer to it.

        Args:
            method: of HTTP.
            path: without its escapes.
            query: with its escapes.
            headers: names in lower case.
            body: of the request.
        """
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": _ADDRESS,
            "client": _ADDRESS,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query,
            "headers": list(headers),
            "state": {},
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        # In a context of its own, as every request of a connection is: nothing of it is left here.
        await asyncio.get_running_loop().create_task(self._run(scope, receive, send), context=Context())
        start, end = sent
        return Answer(start["status"], dict(start["headers"]), end["body"])

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def count(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        """Count a line of the log instead of writing it."""
        self.logged[event["event"]] = self.logged.get(event["event"], 0) + 1
        raise structlog.DropEvent


@asynccontextmanager
async def whole_server(folder: Path, more: str = "") -> AsyncIterator[WholeServer]:
    """Run the server for as long as the block does.

    Args:
        folder: takes its files.
        more: settings.
    """
    url = f"sqlite:///{folder / 'sale.db'}"
    config = write_config(folder / "sale.toml", f'[store]\nurl = "{url}"\n{more}')
    settings = load_settings(ServiceSettings, config, {})
    domain = await create_domain(settings)
    service = ServiceServer(
        domain, settings, SettingsSource(config, {}), None, Observation(settings, None), Address("127.0.0.1", 0)
    )
    app = create_app(service._rpc.channel(), deadline_seconds=settings.http.deadline.total_seconds())
    server = WholeServer(app, domain)
    structlog.configure(processors=[server.count])
    try:
        yield server
    finally:
        structlog.reset_defaults()
        await domain.store.close()
