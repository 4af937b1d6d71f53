"""Card data at rest opens under its own key, for its own card, or not at all."""

import pytest

from service.errors import ErrorReason, SaleError, StoreUnavailable
from service.vault import CardData, SealBroken, Sealed, Vault, VaultKey
from tests.service.conftest import Randomness

DATA = CardData("4111111111111111", 12, 2031, "Анна", "O'Hara-Ж")
OLD, NEW = VaultKey("old", b"o" * 32), VaultKey("new", b"n" * 32)
WHOSE = {"client_card_id": "card-1", "consumer_id": "anna"}


def test_what_was_sealed_opens_for_the_same_card(randomness: Randomness) -> None:
    vault = Vault([OLD], randomness)

    assert vault.open(vault.seal(DATA, **WHOSE), **WHOSE) == DATA


def test_no_two_seals_are_alike_and_none_shows_the_card(randomness: Randomness) -> None:
    vault = Vault([OLD], randomness)
    seals = {vault.seal(DATA, **WHOSE).sealed for _ in range(100)}

    assert len({sealed[:12] for sealed in seals}) == 100
    assert all(b"4111" not in sealed and b"Hara" not in sealed for sealed in seals)


def test_every_key_opens_and_the_first_one_seals(randomness: Randomness) -> None:
    vault = Vault([OLD], randomness)
    sealed = vault.seal(DATA, **WHOSE)
    vault.replace([NEW, OLD])

    assert vault.open(sealed, **WHOSE) == DATA
    assert vault.seal(DATA, **WHOSE).vault_key_id == "new"
    vault.replace([NEW])
    with pytest.raises(StoreUnavailable):
        vault.open(sealed, **WHOSE)


@pytest.mark.parametrize("changed", [{"client_card_id": "card-2"}, {"consumer_id": "bob"}])
def test_data_that_was_moved_to_another_card_does_not_open(randomness: Randomness, changed: dict[str, str]) -> None:
    vault = Vault([OLD], randomness)

    with pytest.raises(SealBroken):
        vault.open(vault.seal(DATA, **WHOSE), **WHOSE | changed)


def test_parts_of_an_identity_can_not_be_shifted(randomness: Randomness) -> None:
    vault = Vault([OLD], randomness)
    sealed = vault.seal(DATA, client_card_id="ab", consumer_id="c")

    with pytest.raises(SealBroken):
        vault.open(sealed, client_card_id="a", consumer_id="bc")


def test_every_changed_byte_breaks_the_seal(randomness: Randomness) -> None:
    vault = Vault([OLD, NEW], randomness)
    key_id, sealed = vault.seal(DATA, **WHOSE)

    for position in range(len(sealed)):
        changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(SealBroken):
            vault.open(Sealed(key_id, changed), **WHOSE)
    for cut in (sealed[:-1], sealed + b"\0", b"", sealed[:12]):
        with pytest.raises(SealBroken):
            vault.open(Sealed(key_id, cut), **WHOSE)
    with pytest.raises(SealBroken):
        vault.open(Sealed("new", sealed), **WHOSE)


def test_without_a_key_the_vault_is_off(randomness: Randomness) -> None:
    with pytest.raises(SaleError) as refusal:
        Vault([], randomness).seal(DATA, **WHOSE)

    assert refusal.value.reason == ErrorReason.ERROR_REASON_PATH_NOT_FOUND


def test_neither_a_key_nor_card_data_shows_itself() -> None:
    assert "4111" not in repr(DATA)
    assert "Hara" not in repr(DATA)
    assert "oooo" not in repr(OLD)
    with pytest.raises(ValueError, match="32 bytes"):
        VaultKey("short", b"k" * 31)
