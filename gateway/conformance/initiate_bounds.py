"""Initiate sale: the bounds of every member."""

from typing import Any, TypeAlias

from gateway.conformance.bounds import NOT_STRINGS, refuses, takes
from gateway.conformance.documents import ABSENT
from gateway.conformance.exchanges import Exchange
from gateway.conformance.faults import Fault, all_hold
from gateway.conformance.requirements import INITIATE_DOCUMENT, Subject
from gateway.conformance.trade import Trade

SUBJECT = Subject("initiate", "Initiate sale: bounds", INITIATE_DOCUMENT)
_Values: TypeAlias = tuple[object, ...]
_PATHS = ("consumer", "consumer.device", "session", "transaction")


class _Initiations:
    """Sends initiations that are right but for one member, one by one."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    async def draft(self) -> dict[str, Any]:
        return await self._trade.initiate_document()

    async def send(self, document: dict[str, Any]) -> Exchange:
        return await self._trade.initiate(document)

    async def bound(self, path: str, taken: _Values, refused: _Values) -> None:
        await all_hold(
            takes(self.draft, self.send, path, taken), refuses(self._trade, self.draft, self.send, path, refused)
        )


@SUBJECT.must("serial-number", "consumer.device.serialNumber: a string of 1-50 characters, not bytes.")
async def serial_number(trade: Trade) -> None:
    """Try its bounds."""
    taken: _Values = ("x", "x" * 50, "Ж" * 50)
    await _Initiations(trade).bound("consumer.device.serialNumber", taken, ("", "x" * 51, "Ж" * 51, *NOT_STRINGS))


@SUBJECT.should("code-points", "Lengths count code points: a character that takes two units of UTF-16 is one.")
async def code_points(trade: Trade) -> None:
    """Try a serial number of such ones."""
    await _Initiations(trade).bound("consumer.device.serialNumber", ("😀" * 50,), ())


@SUBJECT.must("access-token", "session.accessToken: a string of 32-128 characters.", waits=True)
async def access_token(trade: Trade) -> None:
    """Try its bounds: who took one that is too short would take any."""
    await _Initiations(trade).bound("session.accessToken", (), ("", "a" * 31, "a" * 129, *NOT_STRINGS))


@SUBJECT.must("amount", "transaction.amountCentis: an integer.")
async def amount(trade: Trade) -> None:
    """Try what is none."""
    wrong: _Values = (ABSENT, None, "", "ten", "10.42", "1e2", 10.42, True, [], {})
    await _Initiations(trade).bound("transaction.amountCentis", (1,), wrong)


@SUBJECT.should(
    "amount-positive", "transaction.amountCentis is more than 0, below 2^63, and a string of it in its one form."
)
async def amount_positive(trade: Trade) -> None:
    """Try what is out of 63 bits, or written otherwise."""
    wrong: _Values = (0, -1, 2**63, -(2**63) - 1, 10**30, "0100", "+100", "-100", " 100", "1_000", "١٢٣")
    await _Initiations(trade).bound("transaction.amountCentis", (), wrong)


@SUBJECT.must("currency", "transaction.currency: three upper-case letters.")
async def currency(trade: Trade) -> None:
    """Try what is less, more or something else."""
    usual = trade.terms.currency
    wrong: _Values = ("", usual[:2], f"{usual}X", usual.lower(), "E1R", "\u0415UR", *NOT_STRINGS)
    await _Initiations(trade).bound("transaction.currency", (), wrong)


@SUBJECT.should("unknown-currency", "A currency that ISO 4217 does not know is refused.")
async def unknown_currency(trade: Trade) -> None:
    """Try one."""
    await _Initiations(trade).bound("transaction.currency", (), ("QQQ",))


@SUBJECT.must("imei", "consumer.device.imei: a string of 14-16 characters.")
async def imei(trade: Trade) -> None:
    """Try its bounds."""
    taken: _Values = ("1" * 14, "1" * 15, "1" * 16)
    wrong: _Values = ("1" * 13, "1" * 17, 356938035643809, True, [])
    await _Initiations(trade).bound("consumer.device.imei", taken, wrong)


@SUBJECT.must("ip-addresses", "consumer.ipAddresses: a list of strings of 7-15 characters.")
async def ip_addresses(trade: Trade) -> None:
    """Try its bounds."""
    taken: _Values = ([], ["1.2.3.4"], ["255.255.255.255"], ["192.0.2.1", "192.0.2.2"])
    wrong: _Values = ("192.0.2.1", ["1.2.3."], ["255.255.255.2555"], [1], [None], [["192.0.2.1"]], {"0": "192.0.2.1"})
    await _Initiations(trade).bound("consumer.ipAddresses", taken, wrong)


@SUBJECT.must("latitude", "location.lat: a number from -90.0 to 90.0, both inclusive.")
async def latitude(trade: Trade) -> None:
    """Try its bounds."""
    taken: _Values = (-90, -90.0, 0, 0.0, 90, 90.0)
    wrong: _Values = (-90.000001, 90.000001, 91, "high", True, [])
    await _Initiations(trade).bound("location.lat", taken, wrong)


@SUBJECT.must("longitude", "location.lng: a number from -180.0 to 180.0, both inclusive.")
async def longitude(trade: Trade) -> None:
    """Try its bounds."""
    taken: _Values = (-180, -180.0, 0, 0.0, 180, 180.0)
    wrong: _Values = (-180.000001, 180.000001, 181, "far", True, [])
    await _Initiations(trade).bound("location.lng", taken, wrong)


@SUBJECT.must("objects", "consumer, consumer.device, session and transaction are objects, and required.")
async def objects(trade: Trade) -> None:
    """Leave each out, or send something else."""
    initiations = _Initiations(trade)
    await all_hold(
        *(initiations.bound(path, (), (ABSENT, None, "text", 1, [], {})) for path in _PATHS),
        initiations.bound("location", ({},), ("here", 1, [1, 2])),
    )


@SUBJECT.should("no-nul", "NUL and lone surrogates are refused in every string.")
async def no_nul(trade: Trade) -> None:
    """Send such a serial number."""
    await _Initiations(trade).bound("consumer.device.serialNumber", (), ("a\0b", "\0", "a\ud800b", "\udc00"))


@SUBJECT.should("names-the-field", "The message of a refusal names every faulty member by its path.")
async def names_the_field(trade: Trade) -> None:
    """Send a document in which all is wrong."""
    exchange = await trade.initiate(
        {"consumer": {"device": {"serialNumber": ""}}, "transaction": {"amountCentis": "x"}}
    )
    trade.refused(exchange, "a document without most of its members to be refused")
    message = str((exchange.error or {}).get("message"))
    for path in ("consumer.device.serialNumber", "transaction.amountCentis", "transaction.currency", "session"):
        if path not in message:
            raise Fault(f"error.message to name {path}", exchange.told(), exchange)
