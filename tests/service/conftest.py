"""A domain over a real store, with a clock that tests move and randomness that they can repeat."""

import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.access_tokens import AccessTokens
from service.audit import AuditLog
from service.blocklist import Blocklist
from service.cards import Cards
from service.endpoints import Endpoint, Endpoints
from service.origin import Origin, begin_from
from service.sale_limits import SaleLimits
from service.sales import InitiateSale, Sales
from service.signing import parse_control_key
from service.store.sqlite import SqliteStore
from service.vault import Vault, VaultKey
from tests.merchant import SBC, SERIAL_NUMBER


@pytest.fixture(autouse=True)
async def origin(anyio_backend: str) -> AsyncIterator[None]:
    """Forget who called in a test: they share one context."""
    yield
    begin_from(Origin(""))


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)

    def __call__(self) -> datetime:
        return self.now


class Randomness:
    """Gives what is queued, then what the system gives."""

    def __init__(self) -> None:
        self.queued: Iterator[bytes] = iter(())

    def __call__(self, size: int) -> bytes:
        return next(self.queued, None) or secrets.token_bytes(size)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def randomness() -> Randomness:
    return Randomness()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(SBC.endpoint_id, SBC.name, (parse_control_key(SBC.control_key),), frozenset({SBC.currency}))


@pytest.fixture
def endpoints(endpoint: Endpoint) -> Endpoints:
    return Endpoints([endpoint])


@pytest.fixture
async def store(tmp_path: Path, anyio_backend: str) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "sale.db")
    yield store
    await store.close()


@pytest.fixture
async def audit_log(store: SqliteStore, clock: Clock) -> AsyncIterator[AuditLog]:
    audit_log = AuditLog(store, clock=clock, randomness=secrets.token_bytes)
    yield audit_log
    await audit_log.close()


@pytest.fixture
def access_tokens(
    store: SqliteStore, endpoints: Endpoints, audit_log: AuditLog, clock: Clock, randomness: Randomness
) -> AccessTokens:
    return AccessTokens(
        store,
        endpoints,
        audit_log,
        mode="issued",
        ttl=timedelta(minutes=30),
        public=True,
        clock=clock,
        randomness=randomness,
    )


@pytest.fixture
def vault(randomness: Randomness) -> Vault:
    return Vault([VaultKey("1", b"k" * 32)], randomness)


@pytest.fixture
def blocklist(store: SqliteStore, audit_log: AuditLog, clock: Clock) -> Blocklist:
    return Blocklist(store, audit_log, clock=clock)


@pytest.fixture
def cards(
    store: SqliteStore,
    vault: Vault,
    audit_log: AuditLog,
    blocklist: Blocklist,
    clock: Clock,
    randomness: Randomness,
) -> Cards:
    return Cards(store, vault, audit_log, blocklist, clock=clock, randomness=randomness)


@pytest.fixture
def limits() -> SaleLimits:
    return SaleLimits()


@pytest.fixture
def sales(
    store: SqliteStore,
    endpoints: Endpoints,
    access_tokens: AccessTokens,
    cards: Cards,
    limits: SaleLimits,
    blocklist: Blocklist,
    clock: Clock,
    randomness: Randomness,
) -> Sales:
    return Sales(
        store,
        endpoints,
        access_tokens,
        cards,
        limits,
        blocklist,
        session_ttl=timedelta(minutes=30),
        clock=clock,
        randomness=randomness,
    )


@pytest.fixture
async def request_(access_tokens: AccessTokens) -> InitiateSale:
    """A sale that is in order, with a token that counts."""
    token = await access_tokens.request()
    return InitiateSale(token, SERIAL_NUMBER, 1042, SBC.currency, "356938035643809", ("192.0.2.17",), 0.0, None)
