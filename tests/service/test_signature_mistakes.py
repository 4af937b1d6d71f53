"""A wrong signature is explained by the mistake that makes it. What the page says of each is in tests/pages."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pages.signature_words import KINDS, MISTAKES
from service.signature_computations import control_computation, hmac_computation
from service.signature_mistakes import AMOUNT, Mistake, explain, wrong_signatures
from service.signing import parse_control_key
from tests.vectors import VECTORS

WRITTEN = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"
KEY = parse_control_key(WRITTEN)
TOKEN, NONCE = "66548bbcded8077efcfe3fb2c3ea9359", "c0bf9a0f4d4f7f3b2c9780175e3ff991"
INVOICE = "3705797a-86cb-1047-db8c-2b7a8912de18"
PARTS = [
    ("session.accessToken", TOKEN),
    ("consumer.device.serialNumber", "Ж7"),
    ("endpointId", "25110"),
    ("session.nonce", NONCE),
    ("invoiceId", INVOICE),
    ("transaction.amountCentis", "1042"),
    ("transaction.currency", "EUR"),
]
SESSION = hmac_computation(KEY, PARTS)
MESSAGE = f"{TOKEN}Ж725110{NONCE}{INVOICE}1042EUR"


def signed(message: str, key: bytes = KEY.bytes, hash_name: str = "sha1", encoding: str = "utf-8") -> bytes:
    return hmac.new(key, message.encode(encoding), hash_name).digest()


def sha1(message: bytes) -> str:
    return hashlib.sha1(message, usedforsecurity=False).hexdigest()


RIGHT = signed(MESSAGE)
# Computed here by hand, as somebody would who makes the mistake.
MADE = {
    "key_text": signed(MESSAGE, WRITTEN.encode()).hex(),
    "key_text_bare": signed(MESSAGE, WRITTEN.replace("-", "").encode()).hex(),
    "key_text_lower": signed(MESSAGE, WRITTEN.lower().encode()).hex(),
    "key_until_dash": signed(MESSAGE, bytes.fromhex("58B2A205")).hex(),
    "hash_sha256": signed(MESSAGE, hash_name="sha256").hex(),
    "hash_sha256_cut": signed(MESSAGE, hash_name="sha256").hex()[:40],
    "plain_key_after": sha1(f"{MESSAGE}{WRITTEN}".encode()),
    "plain_without_key": sha1(MESSAGE.encode()),
    "arguments_swapped": hmac.new(MESSAGE.encode(), KEY.bytes, "sha1").hexdigest(),
    "amount_major": signed(MESSAGE.replace("1042EUR", "10.42EUR")).hex(),
    "amount_decimals": signed(MESSAGE.replace("1042EUR", "1042.00EUR")).hex(),
    "end_newline": signed(f"{MESSAGE}\n").hex(),
    "encoding_cp1251": signed(MESSAGE, encoding="cp1251").hex(),
    "encoding_utf16le": signed(MESSAGE, encoding="utf-16-le").hex(),
    "written_base64": base64.b64encode(RIGHT).decode(),
    "written_separated": RIGHT.hex("-").upper(),
    "written_cut": RIGHT.hex()[:20],
}
MADE_WITH_DETAILS = {
    Mistake("part_lower", ("transaction.currency",)): signed(MESSAGE.replace("EUR", "eur")),
    Mistake("part_upper", ("session.nonce",)): signed(MESSAGE.replace(NONCE, NONCE.upper())),
    Mistake("part_missing", ("endpointId",)): signed(MESSAGE.replace("25110", "")),
    Mistake("part_json_escaped", ("consumer.device.serialNumber",)): signed(MESSAGE.replace("Ж", "\\u0416")),
    Mistake("part_url_encoded", ("consumer.device.serialNumber",)): signed(MESSAGE.replace("Ж", "%D0%96")),
    Mistake("order_swapped", ("session.accessToken", "consumer.device.serialNumber")): signed(
        f"Ж7{TOKEN}{MESSAGE.partition('Ж7')[2]}"
    ),
    Mistake("separator", ('"|"',)): signed("|".join(value for _, value in PARTS)),
}


def test_a_right_signature_has_no_mistake_in_either_case() -> None:
    assert explain(RIGHT.hex(), KEY, SESSION) == ()
    assert explain(f" {RIGHT.hex().upper()}\n", KEY, SESSION) == ()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["endpointId"])
def test_the_worked_examples_have_no_mistake(vector: dict[str, Any]) -> None:
    key, callback = parse_control_key(vector["controlKey"]), vector["callback"]
    parts = [(name, callback[name]) for name in KINDS["callback"].parts]

    assert explain(callback["control"], key, control_computation(key, parts, "controlKey")) == ()


@pytest.mark.parametrize("name", MADE)
def test_a_mistake_is_named(name: str) -> None:
    assert explain(MADE[name], KEY, SESSION) == (Mistake(name),)


@pytest.mark.parametrize("mistake", MADE_WITH_DETAILS, ids=lambda mistake: mistake.id)
def test_a_mistake_is_named_with_the_part_that_it_is_about(mistake: Mistake) -> None:
    assert explain(MADE_WITH_DETAILS[mistake].hex(), KEY, SESSION) == (mistake,)


def test_two_mistakes_are_named_together() -> None:
    both = signed(MESSAGE.replace("1042EUR", "10.42EUR"), WRITTEN.encode()).hex()
    base64_of_wrong = base64.b64encode(signed(MESSAGE, WRITTEN.encode())).decode()

    assert explain(both, KEY, SESSION) == (Mistake("key_text"), Mistake("amount_major"))
    assert explain(base64_of_wrong, KEY, SESSION) == (Mistake("key_text"), Mistake("written_base64"))


def test_the_checksum_of_a_callback_has_mistakes_of_its_own() -> None:
    said = f"approved801{INVOICE}"
    computation = control_computation(
        KEY, [("status", "approved"), ("orderid", "801"), ("client_orderid", INVOICE)], "controlKey"
    )
    plain = {
        Mistake("part_bare", ("controlKey",)): said + WRITTEN.replace("-", ""),
        Mistake("part_lower", ("controlKey",)): said + WRITTEN.lower(),
        Mistake("part_missing", ("controlKey",)): said,
        Mistake("end_newline"): f"{said}{WRITTEN}\n",
    }

    for mistake, joined in plain.items():
        assert explain(sha1(joined.encode()), KEY, computation) == (mistake,)
    assert explain(signed(said).hex(), KEY, computation) == (Mistake("control_hmac"),)
    decoded = sha1(said.encode() + KEY.bytes)
    assert explain(decoded, KEY, computation) == (Mistake("control_key_bytes"),)


@settings(max_examples=15, deadline=None)
@given(st.text("0123456789abcdefABCDEF-+/= ж", max_size=60))
def test_what_nobody_would_make_is_not_explained(text: str) -> None:
    assert explain(text, KEY, hmac_computation(KEY, PARTS[:3])) is None


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=7, max_size=7), st.integers(1, 2**63 - 1))
def test_any_single_mistake_is_explained_whatever_is_signed(values: list[str], amount: int) -> None:
    parts = [(name, str(amount) if name == AMOUNT else value) for (name, _), value in zip(PARTS, values, strict=True)]
    computation = hmac_computation(KEY, parts)
    singles = [(mistake, text) for mistake, text in wrong_signatures(KEY, computation) if mistake.id != "order_other"]

    for mistake, text in singles[:: max(1, len(singles) // 8)]:
        found = explain(text, KEY, computation)
        assert found is not None
        assert len(found) == 1, (mistake, found)


def test_every_mistake_has_words_for_its_details() -> None:
    for mistake, _ in wrong_signatures(KEY, SESSION):
        assert "{" not in MISTAKES[mistake.id].format(*mistake.details)
