"""How much a store is used: numbers that it has anyway, for whoever looks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

OnCommit = Callable[[int, float], None]
"""Called with how many writes a commit had, and how many seconds it took; in the event loop's thread."""


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """The numbers of one moment. Totals never fall."""

    retries: int
    """How often a transaction was tried again since the store was opened."""
    connections: int | None = None
    """How many there may be to the server; None without one."""
    connections_in_use: int | None = None
    """How many of them work."""
    failed_chainings: int = 0
    """How often audit entries could not be put into the chain since the store was opened."""


@runtime_checkable
class Measurable(Protocol):
    """A store that tells how much it is used."""

    def usage(self) -> StoreUsage:
        """Return the numbers of now."""

    def measure(self, on_commit: OnCommit) -> None:
        """Tell of each commit from now on.

        Args:
            on_commit: what is told.
        """
