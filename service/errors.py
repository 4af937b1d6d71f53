"""The one exception with which the domain refuses a request."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from connectingparty.sale.v1.error_reason_pb2 import ErrorKind, ErrorReason, error_kind

__all__ = ["ErrorReason", "FieldViolation", "SaleError", "StoreFailed", "StoreUnavailable", "kind_of"]

_MAX_VIOLATIONS = 32
"""A gRPC client takes 8 KiB of trailing metadata; more than this are items of one list."""


_NOTHING: Mapping[str, str] = MappingProxyType({})


class FieldViolation(NamedTuple):
    """One faulty field of a request."""

    field: str
    """JSON path of the field, as in `consumer.ipAddresses[0]`."""
    description: str
    """What is wrong, to be read after the path; never holds the value."""


class SaleError(Exception):
    """A request is refused; nothing was changed.

    Args:
        reason: which kind of error.
        message: what the caller may read; the kind's own message if left out. Never holds a secret.
        violations: every faulty field, for `ERROR_REASON_INVALID_FIELD`.
        retry_after_seconds: when it is worth trying again, if it is.
        metadata: more about it for programs: the `metadata` of ErrorInfo.
    """

    def __init__(
        self,
        reason: ErrorReason.ValueType,
        message: str | None = None,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after_seconds: int | None = None,
        metadata: Mapping[str, str] = _NOTHING,
    ) -> None:
        super().__init__(message or kind_of(reason).message)
        self.reason = reason
        self.metadata = metadata
        self.violations = violations
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def invalid_fields(cls, violations: Sequence[FieldViolation]) -> "SaleError":
        """Return the refusal of a request with faulty fields; the message names each of them."""
        told = violations[:_MAX_VIOLATIONS]
        message = "; ".join(f"{violation.field} {violation.description}" for violation in told)
        if len(told) < len(violations):
            message += f"; and {len(violations) - len(told)} more"
        return cls(ErrorReason.ERROR_REASON_INVALID_FIELD, message, violations=told)


class StoreUnavailable(SaleError):
    """The store can't be read or written now. Whether a write that it cut short was stored is not known.

    Args:
        message: what the caller may read.
    """

    def __init__(self, message: str = "The store can't be reached now; try again later.") -> None:
        super().__init__(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, message, retry_after_seconds=1)


class StoreFailed(StoreUnavailable):
    """The disk has failed the store: nothing is written any more until the store is opened anew."""


def kind_of(reason: ErrorReason.ValueType) -> ErrorKind:
    """Return how the proto says that this kind of error is told."""
    return ErrorReason.DESCRIPTOR.values_by_number[reason].GetOptions().Extensions[error_kind]
