"""Values of one member that are taken, and others that are refused."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gateway.conformance.answers import confirmed
from gateway.conformance.documents import ABSENT, with_member
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import all_hold
from gateway.conformance.trade import Trade

Send = Callable[[dict[str, Any]], Awaitable[Exchange]]
Draft = Callable[[], Awaitable[dict[str, Any]]]

NOT_STRINGS: tuple[object, ...] = (ABSENT, None, 12345678901234567890, True, ["x"], {"x": "y"})
"""In the place of a required string."""


async def takes(draft: Draft, send: Send, path: str, values: Iterable[object]) -> None:
    """Send a document once with each value of a member, of which none may be refused.

    Args:
        draft: makes a document that is right.
        send: sends it.
        path: of the member.
        values: of the member.

    Raises:
        Faults: of those that were refused.
    """

    async def case(value: object) -> None:
        confirmed(await send(with_member(await draft(), path, value)), f"{path} {_told(value)} to be taken")

    await all_hold(*(case(value) for value in values))


async def refuses(trade: Trade, draft: Draft, send: Send, path: str, values: Iterable[object]) -> None:
    """Send a document once with each value of a member, which all have to be refused.

    Args:
        trade: takes the refusals.
        draft: makes a document that is right.
        send: sends it.
        path: of the member.
        values: of the member.

    Raises:
        Faults: of those that were not refused.
    """

    async def case(value: object) -> None:
        exchange = await send(with_member(await draft(), path, value))
        trade.refused(exchange, f"{path} {_told(value)} to be refused")

    await all_hold(*(case(value) for value in values))


def _told(value: object) -> str:
    if value is ABSENT:
        return "left out"
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return f"of {len(value)} characters ({text[:24]}{'...' if len(text) > 24 else ''})"
    return text if len(text) < 40 else f"{text[:40]}..."
