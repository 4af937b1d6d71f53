"""What a test of a requirement can find out: that it does not hold, or that it can't be told."""

import asyncio
from collections.abc import Awaitable, Sequence

from gateway.conformance.exchanges import Exchange
from gateway.parties.receiving import printable


class Fault(Exception):
    """A requirement does not hold.

    Args:
        expected: what should have been, in a few words.
        got: what was.
        exchanges: the requests that show it, in their order.
        sequence: how they have to be sent to show it again, where one after another does not do.
    """

    def __init__(self, expected: str, got: str, *exchanges: Exchange, sequence: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = printable(expected)
        self.got = printable(got)
        self.exchanges = exchanges
        self.sequence = sequence


class UnexplainedSignature(Fault):
    """A signature is wrong, and none of the common mistakes makes it: the control key may be another one.

    Args:
        expected: as of `Fault`.
        got: as of `Fault`.
        exchange: that brought it.
        endpoint_id: whose control key it would be.
    """

    def __init__(self, expected: str, got: str, exchange: Exchange, endpoint_id: str) -> None:
        super().__init__(expected, got, exchange)
        self.endpoint_id = printable(endpoint_id)


class Faults(Exception):
    """A requirement does not hold in several cases."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


class NotTested(Exception):
    """Something that belongs to another requirement has to hold before this one can be tested.

    Args:
        reason: what was missing.
        exchange: that should have brought it; None where it was not given to the kit, or is no matter of this server.
    """

    def __init__(self, reason: str, exchange: Exchange | None = None) -> None:
        super().__init__(reason)
        self.reason = printable(reason)
        self.exchange = exchange


def untested(what: str, fault: Fault) -> NotTested:
    """Return that something could not be tested for the fault of another requirement.

    Args:
        what: could not be done.
        fault: that kept it from being done.
    """
    return NotTested(f"{what}: {fault.got}", *fault.exchanges[-1:])


async def all_hold(*cases: Awaitable[object]) -> None:
    """Wait for cases that run at the same time, to the end of each.

    Raises:
        Faults: of those that do not hold.
        NotTested: all others hold.
    """
    faults: list[Fault] = []
    others: list[BaseException] = []
    for result in await asyncio.gather(*cases, return_exceptions=True):
        if isinstance(result, Fault):
            faults.append(result)
        elif isinstance(result, Faults):
            faults.extend(result.faults)
        elif isinstance(result, BaseException):
            others.append(result)
    if faults:
        raise Faults(faults)
    if others:
        raise others[0]
