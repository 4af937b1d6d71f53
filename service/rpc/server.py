"""The domain as a gRPC server: on a port, and for callers in the same process."""

import time
from collections.abc import Sequence, Set
from datetime import timedelta
from typing import Any

import grpc
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import add_MultiplexServiceServicer_to_server
from connectingparty.sale.v1 import (
    access_token_service_pb2,
    blocklist_service_pb2,
    card_service_pb2,
    endpoint_service_pb2,
    sale_service_pb2,
)
from connectingparty.sale.v1.access_pb2 import Role
from connectingparty.sale.v1.access_token_service_pb2_grpc import add_AccessTokenServiceServicer_to_server
from connectingparty.sale.v1.blocklist_service_pb2_grpc import add_BlocklistServiceServicer_to_server
from connectingparty.sale.v1.card_service_pb2_grpc import add_CardServiceServicer_to_server
from connectingparty.sale.v1.endpoint_service_pb2_grpc import add_EndpointServiceServicer_to_server
from connectingparty.sale.v1.sale_service_pb2_grpc import add_SaleServiceServicer_to_server
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from service.access_tokens import AccessTokens
from service.blocklist import Blocklist
from service.callers import Caller
from service.cards import Cards
from service.endpoints import Endpoints
from service.guesses import Guesses, Slowness
from service.rpc.access_token_servicer import AccessTokenServicer
from service.rpc.admission import Admission, Load, Reception, on_demand
from service.rpc.authorization import Authorization, Identify, peer_in_process
from service.rpc.blocklist_servicer import BlocklistServicer
from service.rpc.card_servicer import CardServicer
from service.rpc.endpoint_servicer import EndpointServicer
from service.rpc.health import StoreHealth
from service.rpc.in_process import InProcessServer
from service.rpc.interceptors import Bounds, Errors, InterceptedServer, Interceptor, NoteRefusal, RequestLog
from service.rpc.limits import Limits
from service.rpc.multiplexing import MultiplexServicer, peer_of_stream
from service.rpc.sale_calls import SaleCalls
from service.rpc.sale_servicer import SaleDomain, SaleServicer
from service.rpc.slowing import Slowing
from service.sale_events import SaleEvents
from service.store import Store

_IN_PROCESS = "gateway in process"
_GATEWAY_ROLES = frozenset({Role.ROLE_GATEWAY})

_SERVICES = tuple(
    service.full_name
    for file in (
        sale_service_pb2,
        access_token_service_pb2,
        card_service_pb2,
        blocklist_service_pb2,
        endpoint_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)


class SaleServer:
    """The rpcs of this project and the standard health service.

    Args:
        domain: the domain of sales.
        access_tokens: the domain of access tokens.
        cards: the domain of cards.
        blocklist: the domain of what is blocked.
        endpoints: where sales go.
        sale_events: keeps the calls that name sales.
        store: their store, whose health is the server's.
        identify: tells who calls over the network.
        note_refusal: called with every refusal, for the audit log.
        credentials: with which the port is served; None serves it without TLS.
        limits: how much callers may ask for.
        slowness: how failed attempts are slowed; None if they are not.
        watch_patience: how long a reader of WatchSales may take nothing.
        reflection: whether callers may ask what rpcs there are.
        reuse_port: whether several processes listen on one port.
        in_process_roles: what the gateway in this process may do.
        observers: interceptors around all others, for metrics and traces.
    """

    def __init__(
        self,
        domain: SaleDomain,
        access_tokens: AccessTokens,
        cards: Cards,
        blocklist: Blocklist,
        endpoints: Endpoints,
        sale_events: SaleEvents,
        store: Store,
        identify: Identify,
        note_refusal: NoteRefusal,
        credentials: grpc.ServerCredentials | None,
        *,
        limits: Limits,
        slowness: Slowness | None,
        watch_patience: timedelta,
        reflection: bool,
        reuse_port: bool,
        in_process_roles: Set[Role.ValueType] = _GATEWAY_ROLES,
        observers: Sequence[Interceptor] = (),
    ) -> None:
        self._reader = domain.reader
        self._credentials = credentials
        self._health = StoreHealth(store, _SERVICES)
        self._server = grpc.aio.server(
            # No maximum_concurrent_rpcs: to that, calls count that have ended while nobody takes what they answered.
            options=(*limits.transport_options(), ("grpc.so_reuseport", int(reuse_port))),
        )
        self._in_process = InProcessServer()
        on_streams = InProcessServer()
        self.load = Load(limits.max_calls)
        """How many calls run."""
        outer = *observers, Admission(self.load)
        inside = SaleCalls(sale_events), Bounds(limits.max_message)
        by_port, reception = Authorization(identify), Reception(limits.receive)
        errors: Sequence[Interceptor] = (Errors(note_refusal),)
        self.guesses = None if slowness is None else Guesses(slowness, clock=time.monotonic)
        """Holds back the answers to failed attempts; None if nobody does."""
        slowing = None if self.guesses is None else Slowing(self.guesses, time.monotonic)
        if slowing is not None:
            errors = (*errors, slowing)
        on_port = InterceptedServer(
            self._server, (*outer, RequestLog(), *errors, by_port, reception, *inside), on_demand
        )
        by_stream = Authorization(identify, peer_of_stream)
        gateway = Caller(_IN_PROCESS, frozenset(in_process_roles))
        in_process = Authorization(lambda credentials: gateway, peer_in_process)
        targets = (
            on_port,
            InterceptedServer(on_streams, (*outer, RequestLog(), *errors, by_stream, *inside)),
            # Such a call is part of a request that the gateway logs.
            InterceptedServer(self._in_process, (*outer, *errors, in_process, *inside)),
        )
        for server in targets:
            target: Any = server  # to the stubs another class
            add_SaleServiceServicer_to_server(SaleServicer(domain, watch_patience=watch_patience), target)
            add_AccessTokenServiceServicer_to_server(AccessTokenServicer(access_tokens), target)
            add_CardServiceServicer_to_server(CardServicer(cards), target)
            add_BlocklistServiceServicer_to_server(BlocklistServicer(blocklist), target)
            add_EndpointServiceServicer_to_server(EndpointServicer(endpoints), target)
            add_HealthServicer_to_server(self._health.servicer, target)
        self._multiplex = MultiplexServicer(on_streams, identify, note_refusal, slowing, max_running=limits.max_calls)
        add_MultiplexServiceServicer_to_server(self._multiplex, self._server)
        on_port.refuse_other_rpcs()
        if reflection:
            _enable_reflection((*_SERVICES, "grpc.health.v1.Health"), on_port)

    async def start(self, address: str) -> int:
        """Listen.

        Args:
            address: host and port, as in `127.0.0.1:50051`; port 0 lets the system choose.

        Returns:
            The port.

        Raises:
            OSError: the address can't be listened on.
        """
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise OSError(f"can't listen on {address}") from error
        await self._server.start()
        await self._health.start()
        return port

    def channel(self) -> grpc.aio.Channel:
        """Return a channel for callers in this process."""
        return self._in_process.channel()

    async def say_not_serving(self) -> None:
        """Let health checks know that the end is near, and whoever watches sales."""
        await self._health.stop()
        self._reader.stop()
        self._multiplex.drain()

    async def wait_until_failed(self) -> None:
        """Return when the store can't serve any more until it is opened anew."""
        await self._health.failed.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more calls, and give those that run so long to end."""
        await self._server.stop(grace_seconds)


def _enable_reflection(services: Sequence[str], server: Any) -> None:
    # A server in production does without.
    from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # noqa: PLC0415

    # Not `enable_server_reflection`, which does not know that this server is one of grpc.aio.
    servicer = reflection.aio.ReflectionServicer((*services, reflection.SERVICE_NAME))
    add_to_server: Any = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add_to_server(servicer, server)
