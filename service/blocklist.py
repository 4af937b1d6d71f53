"""Whom and what no sale is taken from: devices, addresses, consumers and cards.

A process keeps of the list which kinds and lengths of prefixes there are, for half a second: while nothing is blocked,
nothing is asked of the store. Whether something is blocked, the store alone says.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from ipaddress import IPV6LENGTH, IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from service.addresses import parse_address
from service.audit import AuditAction, AuditLog
from service.errors import ErrorReason, FieldViolation, SaleError
from service.identifiers import Clock
from service.pages import next_token, not_a_page_token, page_of
from service.store import Block, BlockKey, Store

BIN_DIGITS = 8
"""The most that are told apart: as many as an issuer has (ISO/IEC 7812-1)."""
ADDRESS, BIN, CONSUMER, IMEI, SERIAL_NUMBER = "ADDRESS", "BIN", "CONSUMER", "IMEI", "SERIAL_NUMBER"
_RENEWAL = timedelta(seconds=0.5)
_MAPPED_BITS = 96
_PATTERNS = {
    BIN: (re.compile(rf"[0-9]{{4,{BIN_DIGITS}}}", re.ASCII), f"must be 4-{BIN_DIGITS} digits"),
    IMEI: (re.compile(r".{14,16}", re.DOTALL), "must have 14-16 characters"),
    SERIAL_NUMBER: (re.compile(r".{1,50}", re.DOTALL), "must have 1-50 characters"),
}


class Suspect(NamedTuple):
    """What is looked for in the list: all that is known of a sale or a card."""

    consumer_id: str
    serial_number: str | None = None
    imei: str | None = None
    addresses: Sequence[str] = ()
    bin: str | None = None
    """First digits of a card number, as many as are known."""


class Blocklist:
    """The list, and the refusal of what is in it.

    Args:
        store: where it is stored.
        audit_log: what tells who has changed it.
        clock: the time.
    """

    def __init__(self, store: Store, audit_log: AuditLog, *, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._clock = clock
        self._shapes: Collection[tuple[str, int]] = ()
        self._read_time: datetime | None = None
        self.lookups = 0
        """How often somebody was looked for."""
        self.reads = 0
        """How often the store was asked for that what kinds there are."""

    async def add(self, kind: str, value: str, reason: str, expire_time: datetime | None, caller: str) -> Block:
        """Block something; of what is blocked already, reason and expiry become these.

        Args:
            kind: one of the kinds of this module.
            value: which one; an address in the notation of CIDR, of a bin the first digits.
            reason: why.
            expire_time: from when on it is not blocked any more; None for never.
            caller: who says so.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, the value is none of that kind, or the time is over.
        """
        now = self._clock()
        if expire_time is not None and expire_time <= now:
            raise SaleError.invalid_fields([FieldViolation("expireTime", "must be later than now")])
        block = Block(*_key_of(kind, value), reason, now, expire_time, caller)
        expiry = None if expire_time is None else expire_time.isoformat()
        audit = self._audit_log.entry(
            AuditAction.BLOCK_ADDED, f"{kind} {block.value}", reason=reason, expire_time=expiry
        )
        await self._store.put_block(block, audit)
        self._read_time = None
        return block

    async def remove(self, kind: str, value: str) -> None:
        """Block something no longer. What is not blocked is no error.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, the value is none of that kind.
        """
        key = _key_of(kind, value)
        await self._store.remove_block(key, self._audit_log.entry(AuditAction.BLOCK_REMOVED, f"{kind} {key.value}"))

    async def list(
        self, kind: str | None = None, page_token: str | None = None, page_size: int = 0
    ) -> tuple[Sequence[Block], str]:
        """Return a page of what is blocked now, by kind, prefix length and value, and the token of the next page.

        Args:
            kind: only of this kind; None for all.
            page_token: of the page before, for the first page none.
            page_size: how many at most; 0 for the usual number.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, the token is not one of this list.
        """
        page = page_of(page_token, page_size, kind)
        beyond = None if page.before is None else _key_in(page.before)
        blocks = await self._store.list_blocks(kind, beyond, page.size + 1, self._clock())
        last = json.dumps(blocks[page.size - 1].key) if len(blocks) > page.size else None
        return blocks[: page.size], next_token(last, kind)

    async def require_free(self, suspect: Suspect) -> None:
        """Refuse what is blocked.

        Raises:
            SaleError: `ERROR_REASON_BLOCKED`, without a word about what it is that is blocked.
        """
        now = self._clock()
        self.lookups += 1
        # Also when the clock was set back.
        if self._read_time is None or not timedelta() <= now - self._read_time < _RENEWAL:
            self.reads += 1
            self._shapes = await self._store.find_block_shapes()
            self._read_time = now
        if not self._shapes:
            return
        keys = list(_keys_of(suspect, self._shapes))
        if keys and await self._store.has_block(keys, now):
            raise SaleError(ErrorReason.ERROR_REASON_BLOCKED)


def _key_in(text: str) -> BlockKey:
    try:
        key = BlockKey(*json.loads(text))
    except (ValueError, TypeError):
        key = None
    if key is None or [*map(type, key)] != [str, int, str] or not 0 <= key.prefix_length <= IPV6LENGTH:
        raise not_a_page_token()
    return key


def _key_of(kind: str, value: str) -> BlockKey:
    if kind == ADDRESS:
        network = _parse_network(value)
        return BlockKey(kind, network.prefixlen, str(network))
    pattern, words = _PATTERNS.get(kind, (None, ""))
    if pattern is not None and pattern.fullmatch(value) is None:
        raise SaleError.invalid_fields([FieldViolation("value", words)])
    return BlockKey(kind, len(value) if kind == BIN else 0, value)


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        words = "must be an IP address, or a range as in 192.0.2.0/24 without bits after the prefix"
        raise SaleError.invalid_fields([FieldViolation("value", words)]) from None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _keys_of(suspect: Suspect, shapes: Iterable[tuple[str, int]]) -> Iterator[BlockKey]:
    """Yield all keys of these shapes that a block of the suspect can have."""
    whole = {CONSUMER: suspect.consumer_id, SERIAL_NUMBER: suspect.serial_number, IMEI: suspect.imei}
    addresses = [address for address in map(parse_address, suspect.addresses) if address is not None]
    for kind, length in shapes:
        if kind == ADDRESS:
            for address in addresses:
                if length <= address.max_prefixlen:
                    yield BlockKey(kind, length, str(ip_network((address, length), strict=False)))
        elif kind == BIN:
            if suspect.bin is not None and len(suspect.bin) >= length:
                yield BlockKey(kind, length, suspect.bin[:length])
        elif (value := whole.get(kind)) is not None:
            yield BlockKey(kind, length, value)
