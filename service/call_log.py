"""What is known of the call that runs: for every line that is logged of it, and for its caller's own log."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

_known: ContextVar[dict[str, Any]] = ContextVar("known")


def begin_call(request_id: str) -> None:
    """Forget the call before, and name the one that begins."""
    _known.set({"request_id": request_id})


def tell(**facts: Any) -> None:
    """Add what has become known; outside of a call nothing is kept."""
    if (known := _known.get(None)) is not None:
        known.update(facts)


def known_of_call() -> Mapping[str, Any]:
    """Return what is known; nothing outside of a call."""
    return _known.get({})
