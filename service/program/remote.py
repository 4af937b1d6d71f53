"""Commands that ask a server which runs, as one of its callers."""

from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import click
import grpc
from connectingparty.sale.v1.access_pb2 import Role, access
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from gateway.program.options import config_option, one_line_errors
from gateway.program.service_access import authorization_of, credentials_of
from gateway.program.service_faults import cause_of
from gateway.program.settings import load_settings
from gateway.program.values import Address
from service.program.settings import ServiceSettings

_TIMEOUT_SECONDS = 20.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # no place to go to
_PACKAGE = "connectingparty.sale.v1"
Metadata = list[tuple[str, str]]


class Remote:
    """A server.

    Args:
        address: of its gRPC port.
        credentials: of a channel; None without TLS.
        metadata: tells who calls.
    """

    def __init__(self, address: Address, credentials: grpc.ChannelCredentials | None, metadata: Metadata) -> None:
        self.address = address
        self._metadata = metadata
        self._channel: Any = (
            grpc.insecure_channel(str(address))
            if credentials is None
            else grpc.secure_channel(str(address), credentials)
        )

    def call(self, rpc: str, request: Any) -> Any:
        """Make a call.

        Args:
            rpc: service and rpc, as in `SaleService.GetSale`.
            request: the message.

        Returns:
            The answer.

        Raises:
            click.ClickException: it failed; the message tells what to do about it.
        """
        try:
            return self._callable(rpc, self._channel.unary_unary)(
                request, metadata=self._metadata, timeout=_TIMEOUT_SECONDS
            )
        except grpc.RpcError as error:
            raise self.refusal(rpc, error) from None

    def stream(self, rpc: str, request: Any) -> Iterator[Any]:
        """Return the answers of a call that goes on.

        Raises:
            grpc.RpcError: it ended.
        """
        yield from self._callable(rpc, self._channel.unary_stream)(request, metadata=self._metadata)

    def refusal(self, rpc: str, error: Any) -> click.ClickException:
        """Return how a call that failed is told to whoever runs the command.

        Args:
            rpc: as of `call`.
            error: a `grpc.RpcError`.
        """
        reason = reason_of(error)
        if reason is None:
            return click.ClickException(
                f"can't reach the service at {self.address}: {cause_of(error, self.address)}. Does sale-service"
                " run there? --service HOST:PORT names another place; a port with TLS needs --tls-ca."
            )
        role = Role.Name(_method(rpc).GetOptions().Extensions[access].role).removeprefix("ROLE_").lower()
        match reason:
            case ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED:
                more = f" Show the key of one of [[callers]] with the role {role} by --key-file, or its certificate."
            case ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED:
                more = f" Add {role} to the roles of this caller in [[callers]] of the service, or be another one."
            case _:
                more = ""
        return click.ClickException(f"{int(reason)}: {error.details()}{more}")

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    def _callable(self, rpc: str, kind: Any) -> Any:
        method = _method(rpc)
        return kind(
            f"/{_PACKAGE}.{rpc.replace('.', '/')}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )


def reason_of(error: Any) -> ErrorReason.ValueType | None:
    """Return why the service refused a call; None where it was not the service that ended it.

    Args:
        error: a `grpc.RpcError`.
    """
    info, status = ErrorInfo(), rpc_status.from_call(error)
    if status is not None and any(detail.Unpack(info) for detail in status.details):
        return ErrorReason.Value(info.reason)
    return None


def _method(rpc: str) -> Any:
    return descriptor_pool.Default().FindMethodByName(f"{_PACKAGE}.{rpc}")


def asks_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the server that its options name as `remote`, and these options."""

    @config_option
    @click.option("--service", metavar="HOST:PORT", help="Where the gRPC port is.  [default: 127.0.0.1:50051]")
    @click.option("--key-file", metavar="FILE", help="With the bearer key of a caller; or SALE_SERVICE__KEY has it.")
    @click.option("--tls-ca", metavar="FILE", help="Certificates of the authorities that sign the service's, as PEM.")
    @click.option("--tls-cert", metavar="FILE", help="The caller's own certificate, as PEM.")
    @click.option("--tls-key", metavar="FILE", help="Its private key, as PEM.")
    @one_line_errors
    @wraps(command)
    def wrapped(
        config: Path | None,
        service: str | None,
        key_file: str | None,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        **named: Any,
    ) -> None:
        tls = {"tls": True if tls_ca or tls_cert else None, "tls_ca": tls_ca, "tls_cert": tls_cert, "tls_key": tls_key}
        flags = {"http": {"service": service}, "service": {"key_file": key_file, **tls}}
        remote = _remote_of(load_settings(ServiceSettings, config, flags))
        try:
            command(remote=remote, **named)
        finally:
            remote.close()

    return wrapped


def _remote_of(settings: ServiceSettings) -> Remote:
    """Return the server of settings: of a gateway's, which name it, or of the service's own, where it listens."""
    access, address = settings.service, settings.http.service
    if "service" not in settings.http.model_fields_set:
        listen = settings.grpc.listen
        address = listen._replace(host=_EVERYWHERE.get(listen.host, listen.host))
        if settings.grpc.tls_cert is not None:
            access = access.model_copy(update={"tls": True})
    return Remote(address, credentials_of(access), list(authorization_of(access)))
