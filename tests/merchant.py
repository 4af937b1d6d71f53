"""A merchant with endpoints at four payment gateways, and the documents that its app and the gateways send.

Signatures are computed here from the contract alone, not by the code under test.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

SERIAL_NUMBER = "R58M123ABC"
SESSION_TOKEN = "5f3a9c1e-77aa-4c9e-9b1d-0242ac120002"


class Provider(NamedTuple):
    """An endpoint at a payment gateway."""

    name: str
    endpoint_id: str
    control_key: str
    currency: str
    more: str = ""
    """More settings of it."""


PROVIDERS = (
    Provider("SBC", "11110", "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD", "EUR"),
    Provider("Elecsnet", "22220", "B53E40FB-73D9-3A3C-91B0-89F7F6BC9FFB", "RUB"),
    Provider("TopTechPay", "33330", "98CCD509-316F-A340-3797-D561FB1C930E", "USD"),
    Provider("Gumballpay", "44440", "C92B1275-8A75-5082-E9BA-8C81D13C4CAD", "JPY"),
)
SBC = PROVIDERS[0]
RANDOM_SUM = Provider(
    "Payneteasy", "55550", "6F1D0A52-3C5B-4D0E-8A43-0D6C7E1B2F90", "SEK", "random_sum_centis = {min = 100, max = 999}\n"
)
CALLER_KEY = "b6f0f6e1c7a94e0fa0b6c1a9de6ac1a5"
"""The bearer key of the merchant's own systems, which may call every rpc."""
CALLERS = f"""
[[callers]]
name = "merchant"
roles = ["gateway", "issuer", "reader", "cards", "admin"]
key_hashes = ["{hashlib.sha256(CALLER_KEY.encode()).hexdigest()}"]
"""
AT_ONCE = "[guesses]\nslowed = false\n"
"""Refusals are what most tests are about, and all come from one address."""
VAULT = '[vault]\nkeys = [{id = "2026", key = "' + "0f" * 32 + '"}]\n'
MAX_CENTIS = 9_007_199_254_740_993


def write_config(path: Path, extra: str = "", providers: Iterable[Provider] = (*PROVIDERS, RANDOM_SUM)) -> Path:
    """Write the merchant's settings, and more in front of the endpoints."""
    tables = (
        f'[[endpoints]]\nid = "{provider.endpoint_id}"\nprovider = "{provider.name}"\n'
        f'control_keys = ["{provider.control_key}"]\ncurrencies = ["{provider.currency}"]\n'
        f"max_centis = {MAX_CENTIS}\n{provider.more}"
        for provider in providers
    )
    slowness = "" if "[guesses]" in extra else AT_ONCE
    path.write_text("\n".join([extra, slowness, CALLERS, *tables]))
    path.chmod(0o600)
    return path


def sign(control_key: str, *parts: str) -> str:
    """Return the signature that the contract asks for."""
    key = bytes.fromhex(control_key.replace("-", ""))
    return hmac.new(key, "".join(parts).encode(), hashlib.sha1).hexdigest().upper()


def initiate_document(access_token: str, currency: str = SBC.currency, amount_centis: int = 1042) -> dict[str, Any]:
    """Return what the app sends to initiate a sale: every documented member."""
    return {
        "consumer": {
            "device": {"imei": "356938035643809", "serialNumber": SERIAL_NUMBER},
            "ipAddresses": ["192.0.2.17", "10.0.0.5"],
        },
        "location": {"lat": 0.0, "lng": -180},
        "session": {"accessToken": access_token},
        "transaction": {"amountCentis": amount_centis, "currency": currency},
    }


def check_document(
    access_token: str, opened: dict[str, Any], token: str = SESSION_TOKEN, serial_number: str = SERIAL_NUMBER
) -> dict[str, Any]:
    """Return what the payment gateway sends to check the session that was opened."""
    return {
        "consumer": {"device": {"serialNumber": serial_number}},
        "session": {"accessToken": access_token, **opened["session"], "token": token},
    }


def with_card(document: dict[str, Any], client_card_id: str) -> dict[str, Any]:
    """Return a check that pays with a saved card."""
    return with_member(document, "sourceOfFunds.reference.clientCardId", client_card_id)


def notification_document(
    access_token: str,
    token: str = SESSION_TOKEN,
    server_card_id: str = "77000001",
    serial_number: str = SERIAL_NUMBER,
    unique_reference_card_id: int = 2**53 + 1,
) -> dict[str, Any]:
    """Return what the payment gateway sends when it has given the card an id: every documented member."""
    return {
        "consumer": {"device": {"serialNumber": serial_number}},
        "session": {"accessToken": access_token, "token": token},
        "sourceCard": {
            "bin": 444455,
            "reference": {"serverCardId": server_card_id, "uniqueReferenceCardId": unique_reference_card_id},
        },
    }


def client_ids_document(access_token: str, serial_number: str = SERIAL_NUMBER) -> dict[str, Any]:
    """Return what the app sends to learn which card was saved."""
    return {"consumer": {"device": {"serialNumber": serial_number}}, "session": {"accessToken": access_token}}


def callback_parameters(
    invoice_id: str, status: str = "approved", control_key: str = SBC.control_key, **more: str
) -> dict[str, str]:
    """Return the parameters of a final-status callback, with the checksum that the contract asks for."""
    parameters = {
        "status": status,
        "orderid": "5624444",
        "client_orderid": invoice_id,
        "merchant_order": invoice_id,
        "type": "sale",
        "amount": "10.42",
        "descriptor": "ACME & sons",
        "card-type": "VISA",
        "last-four-digits": "1111",
    }
    parameters |= more
    joined = parameters["status"] + parameters["orderid"] + parameters["client_orderid"] + control_key
    return {"control": hashlib.sha1(joined.encode()).hexdigest(), **parameters}  # noqa: S324  # as the contract has it


def with_member(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a document with one member set, or left out where the value is `...`."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    *parents, name = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner.setdefault(parent, {})
    if value is ...:
        inner.pop(name, None)
    else:
        inner[name] = value
    return copy


def new_token() -> str:
    """Return a well-formed access token that nobody issued."""
    return secrets.token_hex(32)
