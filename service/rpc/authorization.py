"""Who may call an rpc: the role that the proto asks for, of a caller who is known."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import grpc
from connectingparty.sale.v1.access_pb2 import Access, Role, access
from google.protobuf import descriptor_pool

from service.callers import Caller, Credentials, hash_key
from service.errors import ErrorReason, SaleError
from service.origin import Origin, begin_from
from service.rpc.health import HEALTH_METHODS
from service.rpc.interceptors import Behaviour, CallInterceptor, Context, Handler, metadata_values
from service.rpc.status import status_of

CLIENT_ADDRESS = "client-address"
"""Metadata: the address of whoever has sent a request to a gateway. Believed of a caller with ROLE_GATEWAY only."""
CLIENT_CERTIFICATE = "client-certificate"
"""Metadata: a subject alternative name of its client certificate; there may be several. Believed of the same."""

REQUIRED_ROLE = "required_role"
"""Metadata of the error of a caller that lacks the role of an rpc: which one that is. Nothing else has it, so that a
gateway can tell what it may not do from what the sender of a request may not."""

_LOOK_SECONDS = 0.5
"""How late a stream can end whose caller is one no longer."""
_BEARER = "bearer"
_ALTERNATIVE_NAME = "x509_subject_alternative_name"
_OURS = "connectingparty."

Identify = Callable[[Credentials], Caller | None]
"""Returns who shows these credentials; None if that is nobody."""


class Peer(NamedTuple):
    """The other end of a connection."""

    credentials: Credentials
    address: str | None
    """Its IP address."""


_NOBODY = Peer(Credentials(), None)


def peer_of(context: Context) -> Peer:
    """Return who is at the other end of a call over the network.

    Args:
        context: of the call.
    """
    keys = metadata_values(context, "authorization")
    names = context.auth_context().get(_ALTERNATIVE_NAME, ())
    credentials = Credentials(
        hash_key(_bearer_key(keys)) if keys else None, tuple(name.decode("utf-8", "replace") for name in names)
    )
    # As in ipv4:127.0.0.1:50051 and ipv6:%5B::1%5D:50051.
    address = unquote(context.peer()).partition(":")[2].rpartition(":")[0].removeprefix("[").removesuffix("]")
    return Peer(credentials, address or None)


def peer_in_process(context: Context) -> Peer:
    """Return that nobody is at the other end of a call in process.

    Args:
        context: of the call.
    """
    return _NOBODY


class Authorization:
    """Lets through who has the role that an rpc asks for, and notes where the call comes from.

    Args:
        identify: tells who has called.
        look: returns who is at the other end of a call.
    """

    def __init__(self, identify: Identify, look: Callable[[Context], Peer] = peer_of) -> None:
        self._identify = identify
        self._look = look

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc for those alone who may call it.

        Raises:
            TypeError: the proto does not say who may.
        """
        if method.startswith(HEALTH_METHODS):
            return handler
        required = _RequiredRole(self, _required_role(method))
        return required.intercept(method, handler)

    def admit(self, context: Context, role: Role.ValueType) -> None:
        """Note where a call comes from.

        Args:
            context: of the call.
            role: that its rpc asks for.

        Raises:
            SaleError: ERROR_REASON_CALLER_NOT_IDENTIFIED or _NOT_PERMITTED.
        """
        peer = self._look(context)
        caller = self._identify(peer.credentials)
        if caller is None:
            begin_from(Origin("", peer.address))
        else:
            begin_from(_origin_of(caller, peer, context))
        _require(caller, role)

    async def while_admitted(self, context: Context, role: Role.ValueType, running: Awaitable[Any]) -> Any:
        """Run a call that has been admitted, which may take long, for as long as its caller is one.

        Args:
            context: of the call.
            role: that its rpc asks for.
            running: the call.

        Raises:
            SaleError: as of `admit`.
        """
        credentials, loop = self._look(context).credentials, asyncio.get_running_loop()

        async def look(end: asyncio.Timeout) -> None:
            while (caller := self._identify(credentials)) and caller.has(role):  # noqa: ASYNC110  # nobody tells it
                await asyncio.sleep(_LOOK_SECONDS)
            end.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as end:
                looking = asyncio.create_task(look(end))
                try:
                    return await running
                finally:
                    looking.cancel()
        except TimeoutError:
            if end.expired():
                _require(self._identify(credentials), role)
            raise


class _RequiredRole(CallInterceptor):
    def __init__(self, authorization: Authorization, role: Role.ValueType) -> None:
        self._authorization = authorization
        self._role = role
        self._is_long = False

    def intercept(self, method: str, handler: Handler) -> Handler:
        self._is_long = handler.response_streaming
        if not handler.request_streaming:
            return super().intercept(method, handler)
        proceed: Any = handler.stream_stream

        async def behaviour(requests: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._authorization.admit(context, self._role)
            except SaleError as error:
                await context.abort_with_status(status_of(error, {}))
            async for response in proceed(requests, context):
                yield response

        admitted: Handler = grpc.stream_stream_rpc_method_handler(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return admitted

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        self._authorization.admit(context, self._role)
        running = proceed(request, context)
        return await (self._authorization.while_admitted(context, self._role, running) if self._is_long else running)


def _require(caller: Caller | None, role: Role.ValueType) -> None:
    if caller is None:
        raise SaleError(ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED)
    if not caller.has(role):
        raise SaleError(
            ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED,
            f"The caller {caller.name} has not the role {Role.Name(role)}.",
            metadata={REQUIRED_ROLE: Role.Name(role)},
        )


def _required_role(method: str) -> Role.ValueType:
    full_name = method.removeprefix("/").replace("/", ".")
    if not full_name.startswith(_OURS):
        return Role.ROLE_UNSPECIFIED
    try:
        options = descriptor_pool.Default().FindMethodByName(full_name).GetOptions()
    except KeyError:
        return Role.ROLE_UNSPECIFIED  # there is no such rpc, which the caller is told
    if not options.HasExtension(access):
        raise TypeError(f"{full_name}: the proto does not say who may call it")
    required: Access = options.Extensions[access]
    return required.role


def _origin_of(caller: Caller, peer: Peer, context: Context) -> Origin:
    if caller.has(Role.ROLE_GATEWAY):
        address, *_ = (*metadata_values(context, CLIENT_ADDRESS), None)
        if isinstance(address, str):
            names = metadata_values(context, CLIENT_CERTIFICATE)
            return Origin(caller.name, address, tuple(name for name in names if isinstance(name, str)))
    return Origin(caller.name, peer.address, tuple(peer.credentials.certificate_names))


def _bearer_key(values: Sequence[str | bytes]) -> str:
    """Return the key that was sent; an empty one, which is nobody's, where it can't be told which."""
    scheme, _, key = str(values[0]).partition(" ")
    return key if len(values) == 1 and scheme.lower() == _BEARER else ""
