"""Where the call that runs comes from: who has called, and on behalf of whom."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from."""

    caller: str
    """Name of the caller: a program of the merchant's."""
    address: str | None = None
    """IP address of whoever has sent the request: the consumer's app, the payment gateway or the caller itself."""
    certificate_names: tuple[str, ...] = ()
    """Subject alternative names of its client certificate, if it has shown one."""


_UNKNOWN = Origin("")
_origin: ContextVar[Origin] = ContextVar("origin", default=_UNKNOWN)


def begin_from(origin: Origin) -> None:
    """Note where the call that begins comes from."""
    _origin.set(origin)


def origin_of_call() -> Origin:
    """Return where the call that runs comes from; an origin without a name and an address outside of a call."""
    return _origin.get()
