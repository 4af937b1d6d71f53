"""The limits of the gRPC port as settings."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from gateway.program.settings import Section
from gateway.program.values import DurationSetting
from service.rpc.limits import Limits

_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Duration = Annotated[DurationSetting, Field(le=timedelta(days=20))]  # in milliseconds a 32-bit integer
_DEFAULTS = Limits()


class GrpcLimitsSettings(Section):
    """How much callers of the gRPC port may ask for; see `service.rpc.limits.Limits`."""

    max_message: Annotated[int, Field(ge=32768, le=16_777_216)] = _DEFAULTS.max_message
    max_metadata: Annotated[int, Field(ge=8192, le=1_048_576)] = _DEFAULTS.max_metadata
    max_streams: _Count = _DEFAULTS.max_streams
    max_calls: _Count = _DEFAULTS.max_calls
    max_connections: _Count = _DEFAULTS.max_connections
    handshake: _Duration = _DEFAULTS.handshake
    receive: _Duration = _DEFAULTS.receive
    idle: _Duration = _DEFAULTS.idle
    keepalive: _Duration = _DEFAULTS.keepalive
    ping_interval: _Duration = _DEFAULTS.ping_interval
    ping_strikes: Annotated[int, Field(ge=1, le=1000)] = _DEFAULTS.ping_strikes

    def to_limits(self) -> Limits:
        """Return the limits."""
        return Limits(**self.model_dump())
