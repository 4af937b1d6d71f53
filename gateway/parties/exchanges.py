"""Requests of one party to another's server, and what came back: JSON over HTTP, whatever it says."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2

from gateway.parties.receiving import TooLong, receive

Document = dict[str, Any]
_TIMES_THE_TIMEOUT = 2


class Exchange(NamedTuple):
    """A request and its answer."""

    method: str
    url: str
    request: Mapping[str, Any] | None
    """The document, or the parameters of a GET; None if there are none."""
    status: int
    """Of HTTP."""
    answer: Any
    """The JSON document; None if the body is none."""
    seconds: float

    def document(self) -> Document:
        """Return the answer of a success.

        Raises:
            Refused: it has an `error`, which is what tells a failure, not the status.
            NotUnderstood: it is no JSON object, or its status is no success.
        """
        if not isinstance(self.answer, dict):
            raise NotUnderstood(f"{self.method} {self.url} answered {self.status} without a JSON object")
        if isinstance(error := self.answer.get("error"), dict):
            words = (str(error.get(name, "")) for name in ("cause", "code", "message"))
            raise Refused(*words, status=self.status)
        if not httpx2.codes.is_success(self.status):
            raise NotUnderstood(f"{self.method} {self.url} answered {self.status} without an error")
        return self.answer


class PeerError(Exception):
    """An exchange with a server did not succeed."""


class Unreachable(PeerError):
    """Nothing came back in time.

    Args:
        base_url: of the server.
        reason: why, in words.
    """

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(f"{base_url}: {reason}")
        self.base_url = base_url


class NoAnswer(Unreachable):
    """The server has the request, and gave no answer in time: whether it does what it says is not known."""


class WithoutTls(Unreachable):
    """What answers there speaks no TLS."""


class NotUnderstood(PeerError):
    """What came back is not what the contract has."""


class Refused(PeerError):
    """The server answered with an error.

    Args:
        cause: as the contract names it.
        code: of the kind of error.
        message: for people.
        status: of HTTP.
    """

    def __init__(self, cause: str, code: str, message: str, *, status: int) -> None:
        super().__init__(f"{code} {cause}: {message}")
        self.cause = cause
        self.code = code
        self.message = message
        self.status = status


class Peer:
    """A server as one party's client sees it; connections are kept.

    Args:
        base_url: scheme, host and port, and a path in front of all others if there is one.
        timeout_seconds: for an exchange to make no progress; the public clients wait 20 seconds. The whole of one may
            take twice as long.
        observe: called with each exchange.
        connections: how many at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float = 20.0,
        observe: Callable[[Exchange], None] = lambda exchange: None,
        connections: int = 100,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._observe = observe
        self._most_seconds = _TIMES_THE_TIMEOUT * timeout_seconds
        self._client = httpx2.AsyncClient(
            timeout=timeout_seconds,
            trust_env=False,  # a proxy of this host's has no part in it
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=2.0,  # before a server's own end of it, or a request could meet that
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def get(
        self, path: str, parameters: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Exchange:
        """Send a GET.

        Args:
            path: from the base URL on.
            parameters: of the query.
            headers: besides the usual ones.

        Raises:
            Unreachable: nothing came back in time.
            NotUnderstood: what came back has no end.
        """
        # The public clients name a content type without a body, too.
        everything = {"Content-Type": "application/json", **(headers or {})}
        return await self._exchange("GET", path, parameters, params=parameters, headers=everything)

    async def post(self, path: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Exchange:
        """Send a JSON document.

        Args:
            path: from the base URL on.
            document: the body.
            headers: besides the usual ones.

        Raises:
            Unreachable: nothing came back in time.
            NotUnderstood: what came back has no end, or what is to be sent is no Unicode.
        """
        return await self._exchange("POST", path, document, json=document, headers=headers)

    async def _exchange(self, method: str, path: str, sent: Mapping[str, Any] | None, **more: Any) -> Exchange:
        url = self.base_url + path
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._most_seconds):
                received = await receive(self._client, method, url, **more)
        except (httpx2.ReadTimeout, TimeoutError):
            raise NoAnswer(self.base_url, "no answer in time") from None
        except httpx2.TimeoutException:
            raise Unreachable(self.base_url, "no connection in time") from None
        except httpx2.InvalidURL as error:
            raise Unreachable(self.base_url, f"is no URL of a server: {error}") from None
        except UnicodeError:
            raise NotUnderstood(f"{method} {url}: what was answered before can't be sent: it is no Unicode") from None
        except TooLong as error:
            raise NotUnderstood(f"{method} {url}: {error}") from None
        except httpx2.RequestError as error:
            if _is_without_tls(error):
                raise WithoutTls(self.base_url, "speaks no TLS there; try http://") from None
            raise Unreachable(self.base_url, str(error) or type(error).__name__) from None
        seconds = time.perf_counter() - begun
        exchange = Exchange(method, url, sent, received.status, _json_of(received.body), seconds)
        self._observe(exchange)
        return exchange


def _is_without_tls(error: BaseException | None) -> bool:
    """Whether a connection failed because its other side does not speak TLS, which only the first cause tells."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None and error.reason == "WRONG_VERSION_NUMBER"


def _json_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
