"""Which access tokens count, for how long, and what they are bound to."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.access_tokens import AccessTokenMode, AccessTokens, Binding
from service.audit import AuditLog
from service.endpoints import Endpoint, Endpoints
from service.errors import ErrorReason, SaleError
from service.identifiers import hash_access_token
from service.store import StoredAccessToken
from service.store.sqlite import SqliteStore
from tests.merchant import SERIAL_NUMBER, new_token
from tests.service.conftest import Clock, Randomness

pytestmark = pytest.mark.anyio
TTL = timedelta(minutes=30)
TICK = timedelta(microseconds=1)


def configured(
    store: SqliteStore, endpoints: Endpoints, clock: Clock, *, mode: AccessTokenMode = "issued", public: bool = True
) -> AccessTokens:
    tools: dict[str, Any] = {"clock": clock, "randomness": Randomness()}
    return AccessTokens(store, endpoints, AuditLog(store, **tools), mode=mode, ttl=TTL, public=public, **tools)


async def require_invalid(access_tokens: AccessTokens, token: str) -> None:
    with pytest.raises(SaleError) as refusal:
        await access_tokens.authenticate(token, SERIAL_NUMBER)
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID


async def test_a_requested_token_counts_until_it_expires(access_tokens: AccessTokens, clock: Clock) -> None:
    token = await access_tokens.request()
    clock.now += TTL - TICK
    authentication = await access_tokens.authenticate(token, SERIAL_NUMBER)

    assert (authentication.access_token_hash, authentication.endpoint_id) == (hash_access_token(token), None)
    clock.now += TICK
    await require_invalid(access_tokens, token)


async def test_an_issued_token_has_the_time_and_the_endpoint_that_were_asked_for(
    access_tokens: AccessTokens, endpoint: Endpoint, clock: Clock
) -> None:
    token, expire_time = await access_tokens.issue(Binding(endpoint_id=endpoint.id), timedelta(days=366))

    assert expire_time == clock.now + timedelta(days=366)
    assert (await access_tokens.authenticate(token, SERIAL_NUMBER)).endpoint_id == endpoint.id


async def test_a_token_is_stored_as_its_sha_256_only(
    access_tokens: AccessTokens, store: SqliteStore, clock: Clock, tmp_path: Path
) -> None:
    token = await access_tokens.request()
    hash = hash_access_token(token)

    assert await store.find_access_token(hash) == StoredAccessToken(hash, clock.now, clock.now + TTL)
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


async def test_a_token_cannot_be_bound_to_an_endpoint_that_there_is_not(access_tokens: AccessTokens) -> None:
    with pytest.raises(SaleError) as refusal:
        await access_tokens.issue(Binding(endpoint_id="99999"))

    assert refusal.value.reason == ErrorReason.ERROR_REASON_INVALID_FIELD
    assert [violation.field for violation in refusal.value.violations] == ["endpointId"]


async def test_a_revoked_token_counts_no_longer_and_its_neighbour_still_does(access_tokens: AccessTokens) -> None:
    revoked, other = await access_tokens.request(), await access_tokens.request()
    for _ in range(2):
        await access_tokens.revoke(revoked)
    await access_tokens.revoke(new_token())

    await require_invalid(access_tokens, revoked)
    assert await access_tokens.authenticate(other, SERIAL_NUMBER)


async def test_a_token_that_nobody_issued_does_not_count(access_tokens: AccessTokens) -> None:
    token = await access_tokens.request()

    await require_invalid(access_tokens, new_token())
    await require_invalid(access_tokens, token.upper())


async def test_in_mode_any_every_well_formed_token_counts(
    store: SqliteStore, endpoints: Endpoints, clock: Clock
) -> None:
    access_tokens = configured(store, endpoints, clock, mode="any")
    token = "made by the merchant's own login"

    assert (await access_tokens.authenticate(token, SERIAL_NUMBER)).access_token_hash == hash_access_token(token)


async def test_where_it_is_turned_off_no_app_gets_a_token_but_the_merchant_does(
    store: SqliteStore, endpoints: Endpoints, clock: Clock
) -> None:
    access_tokens = configured(store, endpoints, clock, public=False)

    with pytest.raises(SaleError) as refusal:
        await access_tokens.request()

    assert refusal.value.reason == ErrorReason.ERROR_REASON_PATH_NOT_FOUND
    token, _ = await access_tokens.issue()
    assert await access_tokens.authenticate(token, SERIAL_NUMBER)


async def test_a_token_makes_its_bearer_a_consumer_and_without_one_the_device_is(access_tokens: AccessTokens) -> None:
    annas, _ = await access_tokens.issue(Binding(consumer_id="anna", email="anna@example.com"))
    anonymous = await access_tokens.request()

    anna = await access_tokens.authenticate(annas, SERIAL_NUMBER)
    assert (anna.consumer_id, anna.email) == ("anna", "anna@example.com")
    assert (await access_tokens.authenticate(annas, "another device")).consumer_id == "anna"
    assert (await access_tokens.authenticate(anonymous, SERIAL_NUMBER)).consumer_id == f"device:{SERIAL_NUMBER}"
    assert (await access_tokens.authenticate(anonymous, "another device")).consumer_id == "device:another device"


async def test_a_token_that_is_bound_to_a_device_does_not_count_on_another(access_tokens: AccessTokens) -> None:
    token, _ = await access_tokens.issue(Binding(serial_number=SERIAL_NUMBER))

    assert await access_tokens.authenticate(token, SERIAL_NUMBER)
    with pytest.raises(SaleError) as refusal:
        await access_tokens.authenticate(token, SERIAL_NUMBER.lower())
    assert refusal.value.reason == ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID


async def test_all_tokens_of_a_consumer_are_revoked_at_once(access_tokens: AccessTokens, clock: Clock) -> None:
    expired, _ = await access_tokens.issue(Binding(consumer_id="anna"), timedelta(seconds=1))
    clock.now += timedelta(seconds=1)
    annas = [(await access_tokens.issue(Binding(consumer_id="anna")))[0] for _ in range(3)]
    bobs, _ = await access_tokens.issue(Binding(consumer_id="bob"))
    await access_tokens.revoke(annas[0])

    assert await access_tokens.revoke_of_consumer("anna") == 2
    assert await access_tokens.revoke_of_consumer("anna") == 0
    for token in (expired, *annas):
        await require_invalid(access_tokens, token)
    assert await access_tokens.authenticate(bobs, SERIAL_NUMBER)


async def test_in_mode_any_a_token_of_ours_keeps_what_it_was_issued_for_until_it_expires(
    store: SqliteStore, endpoints: Endpoints, endpoint: Endpoint, clock: Clock
) -> None:
    access_tokens = configured(store, endpoints, clock, mode="any")
    bound, _ = await access_tokens.issue(Binding(consumer_id="anna", endpoint_id=endpoint.id))
    revoked, _ = await access_tokens.issue()
    await access_tokens.revoke(revoked)

    anna = await access_tokens.authenticate(bound, SERIAL_NUMBER)
    assert (anna.consumer_id, anna.endpoint_id) == ("anna", endpoint.id)
    await require_invalid(access_tokens, revoked)
    clock.now += TTL
    later = await access_tokens.authenticate(bound, SERIAL_NUMBER)
    assert (later.consumer_id, later.endpoint_id) == (f"device:{SERIAL_NUMBER}", None)
