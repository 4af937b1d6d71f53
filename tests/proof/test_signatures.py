"""Three implementations sign alike, and no check but the true one is confirmed.

Nothing separates the signed parts from each other, so a signature alone proves little: what is forged here keeps it, or
changes one bit.
"""

import hashlib
import hmac
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from service.endpoints import Endpoint
from service.errors import SaleError
from service.sales import CheckSale, InitiateSale, Sales, _is_authentic, _matches
from service.signing import (
    ControlKey,
    callback_control,
    check_signature,
    notification_signature,
    same_signature,
    session_signature,
)
from service.store import Sale
from tests.merchant import SBC, SESSION_TOKEN
from tests.proof.in_process import WholeServer, whole_server

SEED = 20261121
ALPHABETS = ("0123456789abcdef", "ABC-._ ", "\u0436\u00e9\u4e2d", "\U0001f600", "e\u0301\u212a\u0130\ufeff\n\x7f")
SIGNED = ("access_token", "serial_number", "endpoint_id", "nonce", "invoice_id", "amount_centis", "currency")
"""In the order of the contract."""
COMPARED = ("access_token", "serial_number", "nonce", "signature")
"""What a check compares, once the sale is found by its invoice id."""


def counted(count: int, what: str) -> Iterator[None]:
    """Yield so many times, and print how often, also of a run that was broken off."""
    done = 0
    try:
        while done < count:
            yield None
            done += 1
    finally:
        print(f"\n{done:,} {what}")


def by_hmac(key: bytes, message: bytes) -> str:
    # A function of Python's own for the digest: given its name, the module would hand the whole HMAC to OpenSSL.
    return hmac.new(key, message, lambda *data: hashlib.sha1(*data, usedforsecurity=False)).hexdigest()


def by_cryptography(key: bytes, message: bytes) -> str:
    mac = HMAC(key, hashes.SHA1())  # noqa: S303  # the wire format's
    mac.update(message)
    return mac.finalize().hex()


def by_openssl(key: bytes, message: bytes) -> str:
    command = ["openssl", "dgst", "-sha1", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-r"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode().split()[0]


def signed(random: Random) -> tuple[bytes, bytes, str]:
    """Draw a key and parts, and return the key, what the contract says is signed, and the signature by our code."""
    key = random.randbytes(random.choice((16, 20, 32, 63, 64, 65, 100)))
    written = ControlKey(key.hex(), key)
    token, serial, nonce, endpoint_id, invoice_id, card = (
        "".join(random.choices(random.choice(ALPHABETS), k=random.randrange(40))) for _ in range(6)
    )
    named = {"nonce": nonce, "endpoint_id": endpoint_id, "invoice_id": invoice_id}
    match random.randrange(3):
        case 0:
            amount, currency = random.randrange(1, 2 ** random.randrange(1, 64)), "EUR"
            joined = f"{token}{serial}{endpoint_id}{nonce}{invoice_id}{amount}{currency}"
            signature = session_signature(
                written, access_token=token, serial_number=serial, amount_centis=amount, currency=currency, **named
            )
        case 1:
            joined = f"{serial}{nonce}{endpoint_id}{invoice_id}{card}"
            signature = check_signature(written, serial_number=serial, server_card_id=card, **named)
        case _:
            joined = f"{nonce}{endpoint_id}{invoice_id}"
            signature = notification_signature(written, **named)
    return key, joined.encode(), signature


@pytest.mark.parametrize("count", [10_000, pytest.param(10_000_000, marks=pytest.mark.long)])
def test_three_implementations_sign_alike(count: int) -> None:
    random = Random(SEED)

    for _ in counted(count, "signatures equal to those of hmac and of cryptography"):
        key, message, signature = signed(random)
        assert signature == by_hmac(key, message).upper() == by_cryptography(key, message).upper(), (key, message)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no program openssl")
@pytest.mark.parametrize("count", [30, pytest.param(10_000, marks=pytest.mark.long)])
def test_the_openssl_program_signs_alike(count: int) -> None:
    random = Random(SEED)

    for _ in counted(count, "signatures equal to those of the program openssl"):
        key, message, signature = signed(random)
        assert signature == by_openssl(key, message).upper(), (key, message)


@pytest.mark.parametrize("count", [5_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_the_control_of_a_callback_is_the_sha_1_of_another_implementation(count: int) -> None:
    random = Random(SEED)

    for _ in counted(count, "checksums of callbacks equal to those of cryptography"):
        status, orderid, invoice_id = ("".join(random.choices(random.choice(ALPHABETS), k=20)) for _ in range(3))
        key = ControlKey(SBC.control_key, b"")
        digest = hashes.Hash(hashes.SHA1())  # noqa: S303  # the wire format's
        digest.update(f"{status}{orderid}{invoice_id}{SBC.control_key}".encode())
        assert (
            callback_control(key, status=status, orderid=orderid, client_orderid=invoice_id) == digest.finalize().hex()
        )


class Forger:
    """Opens sales, and forges checks of them and rows in their place.

    Args:
        server: where they are opened.
    """

    def __init__(self, server: WholeServer) -> None:
        self.sales: Sales = server.domain.sales.sales
        self._domain = server.domain
        self._random = Random(SEED)

    async def open(self) -> tuple[Sale, CheckSale]:
        """Return a sale that is stored, and the true check of it."""
        random, access_token = self._random, await self._domain.access_tokens.request()
        serial_number = "".join(random.choices(random.choice(ALPHABETS[:3]), k=random.randrange(1, 50)))
        amount = random.randrange(1, 10 ** random.randrange(1, 15))
        sale = await self.sales.initiate(InitiateSale(access_token, serial_number, amount, SBC.currency))
        check = CheckSale(
            sale.invoice_id, access_token, serial_number, sale.nonce, sale.signature, session_token=SESSION_TOKEN
        )
        return sale, check

    async def is_confirmed(self, check: CheckSale) -> bool:
        """Tell whether the domain confirms a check, with the store behind it."""
        try:
            await self.sales.check(check)
        except SaleError:
            return False
        return True

    def would_confirm(self, sale: Sale, check: CheckSale) -> bool:
        """Tell whether the domain would confirm a check if this were the sale that it finds."""
        endpoint: Endpoint | None = self._domain.endpoints.find(sale.endpoint_id)
        return endpoint is not None and _matches(sale, check) and _is_authentic(sale, endpoint, check.access_token)


def flipped(text: str) -> Iterator[str]:
    """Yield a text with each bit of its UTF-8 changed; what is no UTF-8 any more, as that many other characters."""
    data = text.encode()
    for bit in range(8 * len(data)):
        other = bytearray(data)
        other[bit // 8] ^= 1 << bit % 8
        try:
            yield other.decode()
        except UnicodeDecodeError:
            yield other.decode("latin-1")


def shifted(one: str, other: str) -> Iterator[tuple[str, str]]:
    """Yield all other ways in which two parts can be cut out of what they are together."""
    joined = one + other
    for cut in range(len(joined) + 1):
        if cut != len(one):
            yield joined[:cut], joined[cut:]


def parts_of(sale: Sale, check: CheckSale) -> list[str]:
    """Return what is signed of a sale, in order."""
    return [check.access_token, *(str(getattr(sale, name)) for name in SIGNED[1:])]


def forged_checks(sale: Sale, check: CheckSale) -> Iterator[CheckSale]:
    """Yield checks that differ from the true one in what is compared, but for the case of the signature."""
    for name in (*COMPARED, "invoice_id"):
        value = getattr(check, name)
        for other in (
            *flipped(value),
            value[:-1],
            value[1:],
            value + "0",
            "0" + value,
            value + value,
            value.swapcase(),
        ):
            if other != value and not (name == "signature" and same_signature(other, value)):
                yield replace(check, **{name: other})
    parts = parts_of(sale, check)
    for position in range(len(SIGNED) - 1):
        for pair in shifted(parts[position], parts[position + 1]):
            names = zip(SIGNED[position : position + 2], pair, strict=True)
            changed = {name: value for name, value in names if hasattr(check, name)}
            if changed:
                yield replace(check, **changed)


def tampered_rows(sale: Sale, check: CheckSale) -> Iterator[tuple[Sale, CheckSale]]:
    """Yield rows that somebody could put in a sale's place who can write in the database but has no key, and the checks
    that would match them."""
    for name in SIGNED[1:]:
        for other in flipped(str(getattr(sale, name))):
            yield from _row(sale, check, {name: other})
    parts = parts_of(sale, check)
    # The store knows no access token but by its hash: who can move characters of it knows it, and is its consumer.
    for position in range(1, len(SIGNED) - 1):
        for pair in shifted(parts[position], parts[position + 1]):
            yield from _row(sale, check, dict(zip(SIGNED[position : position + 2], pair, strict=True)))


def _row(sale: Sale, check: CheckSale, changed: dict[str, Any]) -> Iterator[tuple[Sale, CheckSale]]:
    amount = changed.pop("amount_centis", str(sale.amount_centis))
    if not (amount.isascii() and amount.isdigit()):
        return  # no column of integers takes it
    row = replace(sale, amount_centis=int(amount), **changed)
    if row != sale:
        yield row, replace(check, invoice_id=row.invoice_id, serial_number=row.serial_number, nonce=row.nonce)


@pytest.mark.anyio
@pytest.mark.parametrize(("count", "one_in"), [(10_000, 20), pytest.param(10_000_000, 200, marks=pytest.mark.long)])
async def test_no_shifted_or_forged_check_is_confirmed(tmp_path: Path, count: int, one_in: int) -> None:
    tried: Counter[str] = Counter()
    try:
        async with whole_server(tmp_path) as server:
            forger = Forger(server)
            while tried.total() < count:
                await forge(forger, tried, one_in)
    finally:
        print(f"\nforged: {dict(tried)}, 0 confirmed")


async def forge(forger: Forger, tried: Counter[str], one_in: int) -> None:
    """Forge everything of one sale, and count what of it was tried.

    Args:
        forger: opens the sale.
        tried: takes the counts.
        one_in: how many of the checks go to the store.
    """
    sale, check = await forger.open()
    for number, forged in enumerate(forged_checks(sale, check), start=tried.total()):
        if forged.invoice_id == sale.invoice_id:
            tried["checks compared"] += 1
            assert not forger.would_confirm(sale, forged), (sale, forged)
        if number % one_in == 0:
            tried["checks made with the store"] += 1
            assert not await forger.is_confirmed(forged), (sale, forged)
    for row, matching in tampered_rows(sale, check):
        tried["tampered rows"] += 1
        assert not forger.would_confirm(row, matching), (sale, row)
    assert forger.would_confirm(sale, check)
    assert await forger.is_confirmed(check)
