"""Applications of tests on a real port, in a thread."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

START_SECONDS = 10.0


class _JsonProtocol(H11Protocol):
    """Answers what is no HTTP by the error body."""

    def send_400_response(self, msg: str) -> None:
        body = json.dumps({"error": {"cause": "INVALID_REQUEST", "code": "1000", "message": msg}}).encode()
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.transport.close()


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application while the block runs.

    Args:
        app: of ASGI.

    Yields:
        Its URL.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(app, http=_JsonProtocol, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "uvicorn does not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(START_SECONDS)
