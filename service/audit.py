"""The audit log: who has done what and when, of all that touches access, cards and configuration. Never a secret.

An access token is named by its SHA-256, a card by its client card id, a consumer by its id. Entries are kept in the
same step as what they tell of. Refusals have no such step, and anybody can provoke them: of each origin so many a
minute are kept one by one, and then one entry tells how many more there were.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import structlog

from service.addresses import site_of
from service.errors import ErrorReason, StoreUnavailable
from service.identifiers import Clock, Randomness, new_audit_entry_id
from service.origin import Origin, origin_of_call
from service.store import AuditEntry, Store

REFUSALS_KEPT = 5
"""How many refusals of one kind and origin are kept one by one within a minute."""
ORIGINS_KEPT = 50
"""How many origins are told apart within a minute; those of all others are kept as one."""
_MINUTE_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_MAX_SUBJECT = 128
_MAX_WAITING = 1000
"""How many entries wait for a store that can't be written at most."""

_log = structlog.stdlib.get_logger(__name__)


class AuditAction(StrEnum):
    """What was done, and what the subject of the entry is then."""

    ACCESS_TOKEN_ISSUED = "access_token.issued"  # noqa: S105  # a word, no secret
    """SHA-256 of the access token."""
    ACCESS_TOKEN_REVOKED = "access_token.revoked"  # noqa: S105  # a word, no secret
    """SHA-256 of the access token."""
    CONSUMER_TOKENS_REVOKED = "consumer_tokens.revoked"  # a word, no secret
    """Consumer id."""
    CARD_PUT = "card.put"
    """Client card id: of card data that was stored, or a reference that the payment gateway has told."""
    CARD_SHOWN = "card.shown"
    """Client card id: check sale has answered card data."""
    CARD_DELETED = "card.deleted"
    """Client card id."""
    BLOCK_ADDED = "block.added"
    """Kind and value of what is blocked from now on."""
    BLOCK_REMOVED = "block.removed"
    """Kind and value of what is blocked no longer."""
    CARDS_REENCRYPTED = "cards.reencrypted"
    """Id of the vault key under which card data is now; written before it begins."""
    CONFIGURATION_READ = "configuration.read"
    """The process that has started; each table of the settings with a fingerprint."""
    CONFIGURATION_RELOADED = "configuration.reloaded"
    """The process; each table that has changed with its fingerprint now."""
    CALLER_NOT_IDENTIFIED = "refused.caller_not_identified"
    """The rpc."""
    CALLER_NOT_PERMITTED = "refused.caller_not_permitted"
    """The rpc."""
    CONTROL_MISMATCH = "refused.control_mismatch"
    """The rpc: a callback under a wrong checksum."""


_REFUSALS = {
    ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED: AuditAction.CALLER_NOT_IDENTIFIED,
    ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED: AuditAction.CALLER_NOT_PERMITTED,
    ErrorReason.ERROR_REASON_CONTROL_MISMATCH: AuditAction.CONTROL_MISMATCH,
}


class AuditLog:
    """Makes audit entries of the call that runs.

    Args:
        store: where they are kept.
        clock: the time.
        randomness: what their ids are made of.
        minute_seconds: how long refusals are counted before it is told how many more there were.
    """

    def __init__(
        self, store: Store, *, clock: Clock, randomness: Randomness, minute_seconds: float = _MINUTE_SECONDS
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._minute_seconds = minute_seconds
        self._refusals = _Refusals(self._entry_of)
        self._keeping: asyncio.Task[None] | None = None
        self._waiting = asyncio.Event()
        self._closing = False

    def entry(self, action: AuditAction, subject: str, **details: str | None) -> AuditEntry:
        """Return an entry of what the call that runs does, for a method of the store that does it.

        Args:
            action: what is done.
            subject: to what; see the action.
            details: what else is to be known, None for what is not there.
        """
        return self._entry_of(origin_of_call(), action, subject, **details)

    async def append(self, action: AuditAction, subject: str, **details: str | None) -> None:
        """Keep what the call that runs does without an effect in the store; durably when this returns.

        Raises:
            StoreUnavailable: it can't be kept, and so must not be done.
        """
        await self._store.append_audit_entry(self.entry(action, subject, **details))

    def note_refusal(self, reason: ErrorReason.ValueType, rpc: str, **details: str | None) -> None:
        """Keep that the call that runs is refused, if that is for what somebody may not do; nobody waits for it.

        Args:
            reason: why.
            rpc: full name of the rpc.
            details: what else is to be known, None for what is not there.
        """
        action = _REFUSALS.get(reason)
        if action is None:
            return
        # What rpc is called for is the caller's choice, of any length, where there is no such.
        subject = "".join(character if character.isprintable() else "?" for character in rpc[:_MAX_SUBJECT])
        origin = origin_of_call()
        certificates = " ".join(origin.certificate_names) or None
        self._refusals.note(origin, action, subject, {"certificates": certificates, **details})
        self._waiting.set()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_refusals())

    async def close(self) -> None:
        """Keep what waits; before the store is closed."""
        self._closing = True
        self._waiting.set()
        if self._keeping is not None:
            await self._keeping

    def _entry_of(self, origin: Origin, action: AuditAction, subject: str, **details: str | None) -> AuditEntry:
        now = self._clock()
        return AuditEntry(
            entry_id=new_audit_entry_id(now, self._randomness),
            create_time=now,
            caller=origin.caller,
            address=origin.address,
            action=action.value,
            subject=subject,
            details=tuple((name, value) for name, value in details.items() if value is not None),
        )

    async def _keep_refusals(self) -> None:
        loop = asyncio.get_running_loop()
        minute_ends = loop.time() + self._minute_seconds
        while not self._closing:
            try:
                async with asyncio.timeout_at(minute_ends):
                    await self._waiting.wait()
            except TimeoutError:
                minute_ends = loop.time() + self._minute_seconds
                self._refusals.end_minute()
            self._waiting.clear()
            if self._closing:
                self._refusals.end_minute()
            await self._keep_waiting()

    async def _keep_waiting(self) -> None:
        waiting = self._refusals.waiting
        while waiting:
            try:
                await self._store.append_audit_entry(waiting[0])
            except StoreUnavailable as error:
                _log.warning("refusals not kept", fault=str(error), count=len(waiting))
                if self._closing:
                    return
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            except Exception as error:
                _log.error("refusal not kept", exc_info=error)  # the next ones may be
            waiting.popleft()


class _Kind(NamedTuple):
    action: AuditAction
    origin: Origin


class _Refusals:
    """Those of a minute: how many there were of each kind and origin, and what is to be kept of them."""

    def __init__(self, entry_of: Callable[..., AuditEntry]) -> None:
        self._entry_of = entry_of
        self._counts: dict[_Kind, int] = {}
        self.waiting: deque[AuditEntry] = deque()

    def note(self, origin: Origin, action: AuditAction, subject: str, details: dict[str, str | None]) -> None:
        kind = _Kind(action, Origin(origin.caller, site_of(origin.address)))
        if kind not in self._counts and len(self._counts) >= ORIGINS_KEPT:
            kind = _Kind(action, Origin(""))
            self._counts.setdefault(kind, REFUSALS_KEPT)  # only their number is kept
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= REFUSALS_KEPT:
            self._keep(action, origin, subject, **details)

    def end_minute(self) -> None:
        for kind, count in self._counts.items():
            if count > REFUSALS_KEPT:
                whose = "more" if kind.origin.caller or kind.origin.address else "of others"
                self._keep(kind.action, kind.origin, whose, count=str(count - REFUSALS_KEPT))
        self._counts.clear()

    def _keep(self, action: AuditAction, origin: Origin, subject: str, **details: str | None) -> None:
        if len(self.waiting) < _MAX_WAITING:
            self.waiting.append(self._entry_of(origin, action, subject, **details))
