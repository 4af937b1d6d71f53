"""What a key is, what a request says, and which keys are running."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ErrorReason, FieldViolation, SaleError
from service.idempotency import RunningKeys, hash_request, parse_key

fields = st.lists(st.none() | st.integers() | st.text() | st.lists(st.text(max_size=3)), max_size=4)


@pytest.mark.parametrize("key", ["k", "~" * 255, " !", '"quoted"'])
def test_printable_ascii_of_up_to_255_characters_is_a_key(key: str) -> None:
    assert parse_key([key]) == key


def test_a_request_without_a_key_has_none() -> None:
    assert parse_key([]) is None


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([""], "must have 1 to 255 characters"),
        (["k" * 256], "must have 1 to 255 characters"),
        (["caf\u00e9"], "must be printable ASCII characters"),
        (["a\tb"], "must be printable ASCII characters"),
        (["a\x00"], "must be printable ASCII characters"),
        ([b"bytes"], "must be printable ASCII characters"),
        (["a", "a"], "must be sent once"),
    ],
)
def test_what_is_not_one_key_is_a_faulty_field_and_is_not_repeated(values: list[str | bytes], fault: str) -> None:
    with pytest.raises(SaleError) as refusal:
        parse_key(values)

    assert refusal.value.reason == ErrorReason.ERROR_REASON_INVALID_FIELD
    assert refusal.value.violations == [FieldViolation("Idempotency-Key", fault)]
    assert all(len(value) < 3 or str(value) not in str(refusal.value) for value in values)


@given(fields, fields)
def test_requests_are_alike_exactly_when_all_their_fields_are(one: list[object], other: list[object]) -> None:
    assert (hash_request(*one) == hash_request(*other)) == (one == other)
    assert len(hash_request(*one)) == 32


def test_fields_cannot_lend_each_other_characters_nor_stand_for_nothing() -> None:
    assert len({hash_request(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None))}) == 4


def claim(keys: RunningKeys, fault: type[Exception] | None = None) -> None:
    with keys.claim(b"token", "order-1"):
        if fault is not None:
            raise fault


def test_a_claimed_key_is_in_use_until_its_request_ends() -> None:
    keys = RunningKeys()
    with keys.claim(b"token", "order-1"):
        for _ in range(2):  # the one that was refused must not have freed it
            with pytest.raises(SaleError) as refusal:
                claim(keys)
            assert refusal.value.reason == ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_IN_USE
            assert refusal.value.retry_after_seconds == 1

    claim(keys)


def test_a_claimed_key_is_free_after_a_fault() -> None:
    keys = RunningKeys()
    with pytest.raises(ZeroDivisionError):
        claim(keys, ZeroDivisionError)

    claim(keys)


def test_a_claimed_key_is_free_for_another_token() -> None:
    keys = RunningKeys()

    with keys.claim(b"token", "order-1"), keys.claim(b"other", "order-1"), keys.claim(b"token", "order-2"):
        pass
