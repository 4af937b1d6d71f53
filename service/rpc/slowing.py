"""Failed attempts are answered late: see `service.guesses`."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from connectingparty.sale.v1.access_pb2 import access
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from service.addresses import site_of
from service.errors import ErrorReason, SaleError
from service.guesses import Guesses
from service.identifiers import hash_access_token
from service.origin import origin_of_call
from service.rpc.interceptors import Behaviour, CallInterceptor, Context, Handler

_FAILURES = frozenset({ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED})
_FAILURES_OF_PARTIES = _FAILURES | {
    ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID,
    ErrorReason.ERROR_REASON_SESSION_MISMATCH,
    ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND,
    ErrorReason.ERROR_REASON_CONTROL_MISMATCH,
}
"""Of what consumers' apps and payment gateways send, that is of what anybody can."""
_GUESSED = {
    "session.access_token": "access_tokens",
    "session.token": "session_tokens",
    "invoice_id": "invoices",
    "client_orderid": "invoices",
}
"""What can be guessed, by its path in a request."""

Reader = Callable[[Any], str]


class Slowing(CallInterceptor):
    """Holds back the answers to failed attempts.

    Args:
        guesses: counts them.
        clock: seconds, the clock of `guesses`.
    """

    def __init__(self, guesses: Guesses, clock: Callable[[], float]) -> None:
        self._guesses = guesses
        self._clock = clock
        self._failures: dict[str, frozenset[ErrorReason.ValueType]] = {}
        self._readers: dict[str, Sequence[tuple[str, Reader]]] = {}

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc whose failures are answered late."""
        try:
            rpc = descriptor_pool.Default().FindMethodByName(method.removeprefix("/").replace("/", "."))
        except KeyError:
            return super().intercept(method, handler)  # there is no such rpc
        if rpc.GetOptions().Extensions[access].party:
            self._failures[method] = _FAILURES_OF_PARTIES
            self._readers[method] = [*_readers_of(rpc)]
        return super().intercept(method, handler)

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        began = self._clock()
        try:
            return await proceed(request, context)
        except SaleError as refusal:
            if refusal.reason in self._failures.get(method, _FAILURES):
                await self._guesses.hold_back(began, self._subjects(method, request))
            raise

    async def hold_back(self) -> None:
        """Hold back the refusal of somebody who calls now and is not known; a stream has no message to look at.

        Raises:
            SaleError: as of `Guesses.hold_back`.
        """
        await self._guesses.hold_back(self._clock(), self._subjects("", None))

    def _subjects(self, method: str, request: object) -> Iterator[tuple[str, str | bytes]]:
        if (site := site_of(origin_of_call().address)) is not None:
            yield "addresses", site
        if isinstance(request, Message):  # otherwise it could not be read
            for kind, read in self._readers.get(method, ()):
                if value := read(request):
                    yield kind, hash_access_token(value)  # of a secret nothing else is kept


def _readers_of(rpc: MethodDescriptor) -> Iterator[tuple[str, Reader]]:
    """Yield what of a request can be guessed: the kind, and how it is read."""
    for path, kind in _GUESSED.items():
        *outer, name = path.split(".")
        message: Any = rpc.input_type  # its stub names two classes that are one
        for part in outer:
            message = message and message.fields_by_name.get(part) and message.fields_by_name[part].message_type
        if message is not None and name in message.fields_by_name:
            yield kind, attrgetter(path)
