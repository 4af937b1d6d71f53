"""An application under uvicorn as its documentation recommends for speed, on a port that the system chooses."""

import socket

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.program.logs import configure_logs
from service.call_log import known_of_call

_log = structlog.stdlib.get_logger(__name__)


def serve(app: ASGIApp) -> None:
    """Serve until SIGTERM, and log where as our own programs do."""
    configure_logs(known_of_call)
    listener = socket.create_server(("127.0.0.1", 0))
    # Connections wait from here on until it accepts them.
    _log.info("serving", http=f"127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])
