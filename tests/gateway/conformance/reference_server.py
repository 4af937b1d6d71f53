"""A small and honest Connecting Party's server, in memory and written apart from ours, and what others get wrong.

A merchant who has read the documents would write such a one. Each flaw breaks it in one way.
"""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

CONTROL_KEY = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"
ENDPOINT_ID = "25110"
CURRENCIES = ("EUR", "USD")
_MAX_BODY = 65536
_STATUSES = {1002: 415, 1003: 413, 1004: 404, 1005: 405, 1101: 401, 1102: 403, 1104: 404, 1105: 409, 1106: 404}
_STATUSES |= {1107: 422, 1109: 403, 2002: 403}


class Flaw(StrEnum):
    """A way to get it wrong."""

    KEY_AS_TEXT = "the control key is used as text, dashes and all"
    MAJOR_UNITS = "the amount is signed in major units"
    LOWER_CASE_CURRENCY = "the currency is signed in lower case"
    OTHER_ORDER = "the check's parts are signed in another order"
    LATIN_1 = "the serial number is not signed in UTF-8"
    NULL_OPTIONALS = "what is not known is null"
    INTEGERS_AS_STRINGS = "64-bit integers are strings"
    FORGETS_IDEMPOTENCY = "an Idempotency-Key is not remembered"
    REFUSES_REPEATS = "a check is confirmed once only"
    LEAKS_THE_FIELD = "a refusal tells which value differs"
    PLAIN_404 = "an unknown path is no matter of JSON"
    ANY_AMOUNT = "a signature over another amount is confirmed"
    RECOMPUTES_ONLY = "values are not compared, but signed again"
    TAKES_ANY_NONCE = "the nonce is not looked at"
    TWO_WINNERS = "between the look at a session and its binding there is time"
    CONTROL_WITHOUT_DASHES = "the callback's key is taken without its dashes"
    REFUSES_REPEATED_CALLBACKS = "a callback that is known already is a conflict"
    TAKES_ANY_CALLBACK = "the control checksum is not looked at"
    STRICT_MEMBERS = "members that nobody knows are refused"
    COUNTS_BYTES = "lengths are those of bytes"
    CARD_OF_ANYBODY = "whoever knows a card's id may pay with it"
    COUNTED_NONCES = "nonces are counted"
    ROUNDED_AMOUNTS = "amounts pass through floating point"
    CRASHES = "what can not be encoded crashes it"
    OWN_CODES = "codes are numbers of its own"
    ALWAYS_200 = "a refusal has the status 200 too"
    NO_INVOICE_ID = "a refusal does not tell the invoice"
    LENIENT = "no member is looked at"
    REFUSES_OPTIONALS = "optional members are not expected"
    LENIENT_JSON = "JSON is read as the library does it"
    PLAIN_ERRORS = "errors are plain text"
    NO_CHARSET = "a charset is not expected"
    ANY_CONTENT_TYPE = "the Content-Type is not looked at"
    ONE_ACCESS_TOKEN = "everybody gets the same access token"
    TAKES_ANY_ACCESS_TOKEN = "the access token is not looked at"
    TAKES_ANY_SERIAL_NUMBER = "the serial number is not looked at"
    TAKES_ANY_SIGNATURE = "the signature is not looked at"
    FINDS_BY_NONCE = "the invoice of a check is not looked at"
    TAKES_ANY_CURRENCY = "the currency is not looked at"
    LAST_TOKEN_WINS = "the session is bound to the latest token"
    FINAL_IS_NOTHING = "a sale that has ended can be checked"
    CASE_SENSITIVE = "signatures are compared with their case"
    COMPOSES_UNICODE = "serial numbers are normalised"
    DIGITS_AT_THE_END = "invoice ids end in digits"
    CONSTANT_NONCES = "all nonces are one"
    SHORT_SIGNATURES = "signatures are cut"
    CARDS_ARE_REPLACED = "each notification makes a new card"
    TAKES_ANY_NOTIFICATION = "a notification is not compared with the sale"
    NO_CARDS = "there is nothing about cards"
    NUMBERS_ONLY = "integers of a notification are numbers only"
    FINAL_TAKES_NO_CARD = "a sale that has ended takes no notification"
    TAKES_ANY_CARD = "an unknown card is none"
    CALLBACK_OF_NOTHING = "a callback needs no sale"
    FORGETS_CARDS = "a saved card is not answered by the gateway's id"


class Refusal(Exception):
    def __init__(self, code: int, message: str = "", invoice_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message or f"refused by rule {code}"
        self.invoice_id = invoice_id


@dataclass
class Sale:
    invoice_id: str
    access_token: str
    serial_number: str
    nonce: str
    amount_centis: int
    currency: str
    signature: str = ""
    token: str = ""
    paid_with: str = ""
    saved: str = ""
    final: bool = False
    callbacks: set[str] = field(default_factory=set)


class ReferenceServer:
    """The server.

    Args:
        flaw: that it has, if any.
    """

    def __init__(self, flaw: Flaw | None = None) -> None:
        self._flaw = flaw
        self._tokens: set[str] = set()
        self._sales: dict[str, Sale] = {}
        self._idempotency: dict[tuple[str, str], tuple[object, Sale]] = {}
        self._cards: dict[str, tuple[str, str, str]] = {}
        self._nonces = 10**63

    def app(self) -> Starlette:
        routes = [
            Route("/auth/request-access-token", self._request_access_token),
            Route("/sale/initiate-sale", self._initiate, methods=["POST"]),
            Route("/sale/callback", self._call_back),
            Route("/sale/{invoice_id}/check", self._check, methods=["POST"]),
        ]
        cards = [
            Route("/sale/notification", self._notify, methods=["POST"]),
            Route("/cardrefs/{invoice_id}/get-client-ids", self._client_ids, methods=["POST"]),
        ]
        routes += [] if self._flaw is Flaw.NO_CARDS else cards
        return Starlette(routes=routes, exception_handlers={Refusal: self._refused, HTTPException: self._no_route})

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        status = _STATUSES.get(error.code, 400)
        if self._flaw is Flaw.ALWAYS_200 and request.method == "POST":
            status = 200
        if self._flaw is Flaw.PLAIN_ERRORS:
            return PlainTextResponse(error.message, status)
        code = error.code + 5000 if self._flaw is Flaw.OWN_CODES else error.code
        cause = "FILTERED" if 2000 <= error.code < 3000 else "INVALID_REQUEST"
        document: dict[str, Any] = {"error": {"cause": cause, "code": str(code), "message": error.message}}
        if error.invoice_id and self._flaw is not Flaw.NO_INVOICE_ID:
            document["invoiceId"] = error.invoice_id
        return JSONResponse(document, status)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if self._flaw is Flaw.PLAIN_404 and error.status_code == 404:
            return PlainTextResponse("Not Found", 404)
        return await self._refused(request, Refusal({404: 1004, 405: 1005}[error.status_code]))

    async def _document_of(self, request: Request) -> Any:
        media_type, _, parameters = request.headers.get("Content-Type", "").partition(";")
        wrong = media_type.strip() != "application/json" or (parameters and self._flaw is Flaw.NO_CHARSET)
        if wrong and self._flaw is not Flaw.ANY_CONTENT_TYPE:
            raise Refusal(1002)
        body = await request.body()
        if len(body) > _MAX_BODY and self._flaw is not Flaw.LENIENT_JSON:
            raise Refusal(1003)
        strict: Any = {"object_pairs_hook": _without_duplicates, "parse_constant": _no_number}
        try:
            document = json.loads(body.decode(), **({} if self._flaw is Flaw.LENIENT_JSON else strict))
        except (ValueError, RecursionError):
            if self._flaw is Flaw.LENIENT_JSON:
                raise
            raise Refusal(1000) from None
        if not isinstance(document, dict):
            raise Refusal(1000)
        return document

    async def _request_access_token(self, _: Request) -> Response:
        token = "f" * 64 if self._flaw is Flaw.ONE_ACCESS_TOKEN else secrets.token_hex(32)
        self._tokens.add(token)
        return JSONResponse({"session": {"accessToken": token}})

    async def _initiate(self, request: Request) -> Response:
        reader = _Reader(await self._document_of(request), self._flaw)
        serial = reader.text("consumer.device.serialNumber", 1, 50)
        token = reader.text("session.accessToken", 32, 128)
        amount = reader.amount("transaction.amountCentis")
        currency = reader.text("transaction.currency", 3, 3, "[A-Z]{3}")
        reader.text("consumer.device.imei", 14, 16, optional=True)
        reader.addresses("consumer.ipAddresses")
        reader.coordinate("location.lat", 90)
        reader.coordinate("location.lng", 180)
        reader.only("consumer", "location", "session", "transaction")
        reader.done()
        if token not in self._tokens and self._flaw not in {Flaw.TAKES_ANY_ACCESS_TOKEN, Flaw.LENIENT}:
            raise Refusal(1101)
        if currency not in CURRENCIES and self._flaw not in {Flaw.TAKES_ANY_CURRENCY, Flaw.LENIENT}:
            raise Refusal(2002)
        terms = (serial, amount, currency)
        key = (token, request.headers.get("Idempotency-Key", ""))
        known, sale = self._idempotency.get(key, (terms, None)) if key[1] else (terms, None)
        if known != terms:
            raise Refusal(1107)
        if sale is None or self._flaw is Flaw.FORGETS_IDEMPOTENCY:
            sale = self._open(token, serial, amount, currency)
        if self._flaw is not Flaw.FORGETS_IDEMPOTENCY:
            self._idempotency[key] = (terms, sale)
        session = {"nonce": sale.nonce, "signature": sale.signature}
        return JSONResponse({"endpointId": ENDPOINT_ID, "invoiceId": sale.invoice_id, "session": session})

    def _open(self, token: str, serial: str, amount: int, currency: str) -> Sale:
        self._nonces += 1
        nonce = str(self._nonces) if self._flaw is Flaw.COUNTED_NONCES else secrets.token_hex(32)
        nonce = "f" * 64 if self._flaw is Flaw.CONSTANT_NONCES else nonce
        end = "7" if self._flaw is Flaw.DIGITS_AT_THE_END else "f"
        sale = Sale(f"{uuid.uuid4()}"[:-1] + end, token, serial, nonce, amount, currency)
        sale.signature = self._session_signature(sale, token, serial, amount)
        self._sales[sale.invoice_id] = sale
        return sale

    def _session_signature(self, sale: Sale, token: str, serial: str, amount_centis: int) -> str:
        amount, currency = str(amount_centis), sale.currency
        if self._flaw is Flaw.MAJOR_UNITS:
            amount = f"{amount_centis / 100:.2f}"
        if self._flaw is Flaw.ROUNDED_AMOUNTS:
            amount = str(int(float(amount_centis)))
        if self._flaw is Flaw.LOWER_CASE_CURRENCY:
            currency = currency.lower()
        return self._sign(token, serial, ENDPOINT_ID, sale.nonce, sale.invoice_id, amount, currency)

    def _sign(self, *parts: str) -> str:
        key = bytes.fromhex(CONTROL_KEY.replace("-", ""))
        if self._flaw is Flaw.KEY_AS_TEXT:
            key = CONTROL_KEY.encode()
        message = "".join(parts)
        data = message.encode("latin-1", "replace") if self._flaw is Flaw.LATIN_1 else message.encode()
        signature = hmac.new(key, data, hashlib.sha1).hexdigest().upper()
        return signature[:32] if self._flaw is Flaw.SHORT_SIGNATURES else signature

    async def _check(self, request: Request) -> Response:
        invoice_id = request.path_params["invoice_id"]
        document = await self._document_of(request)
        sale = self._sales.get(invoice_id)
        if self._flaw is Flaw.FINDS_BY_NONCE:
            sale = next((each for each in self._sales.values() if each.nonce in json.dumps(document)), None)
        reader = _Reader(document, self._flaw, "" if sale is None else invoice_id)
        serial = reader.text("consumer.device.serialNumber", 1, 50)
        access_token = reader.text("session.accessToken", 32, 128)
        nonce = reader.text("session.nonce", 32, 128)
        signature = reader.text("session.signature", 32, 128)
        token = reader.text("session.token", 16, 36)
        card_id = reader.text("sourceOfFunds.reference.clientCardId", 1, 128, optional=True)
        reader.only("consumer", "session", "sourceOfFunds.reference")
        reader.done()
        if sale is None:
            raise Refusal(1104)
        self._require_match(sale, serial, access_token, nonce, signature)
        await self._bind(sale, token, card_id)
        return self._confirmation(sale, card_id)

    def _require_match(self, sale: Sale, serial: str, access_token: str, nonce: str, signature: str) -> None:
        if self._flaw is Flaw.RECOMPUTES_ONLY:
            right = self._session_signature(sale, access_token, serial, sale.amount_centis)
            if signature.upper() != right or nonce != sale.nonce:
                raise Refusal(1102, invoice_id=sale.invoice_id)
            return
        signatures = [sale.signature]
        if self._flaw is Flaw.ANY_AMOUNT:
            signatures += [
                self._session_signature(sale, sale.access_token, sale.serial_number, each) for each in (1, 2)
            ]
        differing = {
            "serial number": self._form(serial) != self._form(sale.serial_number),
            "access token": access_token != sale.access_token and self._flaw is not Flaw.TAKES_ANY_ACCESS_TOKEN,
            "nonce": nonce != sale.nonce and self._flaw is not Flaw.TAKES_ANY_NONCE,
            "signature": self._case(signature) not in signatures and self._flaw is not Flaw.TAKES_ANY_SIGNATURE,
        }
        if any(differing.values()):
            leaked = next(name for name, differs in differing.items() if differs)
            told = f"wrong {leaked}" if self._flaw is Flaw.LEAKS_THE_FIELD else "not the session that was opened"
            raise Refusal(1102, told, sale.invoice_id)

    def _form(self, serial: str) -> str:
        if self._flaw is Flaw.TAKES_ANY_SERIAL_NUMBER:
            return ""
        return unicodedata.normalize("NFC", serial) if self._flaw is Flaw.COMPOSES_UNICODE else serial

    def _case(self, signature: str) -> str:
        return signature if self._flaw is Flaw.CASE_SENSITIVE else signature.upper()

    async def _bind(self, sale: Sale, token: str, card_id: str) -> None:
        final = sale.final and self._flaw is not Flaw.FINAL_IS_NOTHING
        if final or (sale.token not in {"", token} and self._flaw is not Flaw.LAST_TOKEN_WINS):
            raise Refusal(1105, invoice_id=sale.invoice_id)
        if sale.token and self._flaw is Flaw.REFUSES_REPEATS:
            raise Refusal(1105, invoice_id=sale.invoice_id)
        if card_id not in self._cards and self._flaw is Flaw.TAKES_ANY_CARD:
            card_id = ""
        if card_id:
            owner = self._cards.get(card_id, ("", "", ""))[:2]
            if owner != (sale.access_token, sale.serial_number) and not (
                owner[0] and self._flaw is Flaw.CARD_OF_ANYBODY
            ):
                raise Refusal(1106, invoice_id=sale.invoice_id)
        if self._flaw is Flaw.TWO_WINNERS:
            await asyncio.sleep(0.05)
        sale.token = token

    def _confirmation(self, sale: Sale, card_id: str) -> Response:
        server_card_id = self._cards[card_id][2] if card_id in self._cards else ""
        parts = [sale.serial_number, sale.nonce, ENDPOINT_ID, sale.invoice_id, server_card_id]
        if self._flaw is Flaw.OTHER_ORDER:
            parts.reverse()
        document: dict[str, Any] = {
            "invoiceId": sale.invoice_id,
            "session": {"checkSignature": self._sign(*parts), "nonce": sale.nonce, "token": sale.token},
            "transaction": {"currency": sale.currency, "randomSumCentis": 217},
        }
        if server_card_id and self._flaw is not Flaw.FORGETS_CARDS:
            document["sourceOfFunds"] = {"reference": {"serverCardId": server_card_id}}
        if self._flaw is Flaw.NULL_OPTIONALS:
            document["consumer"] = {"email": None}
        if self._flaw is Flaw.INTEGERS_AS_STRINGS:
            document["transaction"]["randomSumCentis"] = "217"
        return JSONResponse(document)

    async def _notify(self, request: Request) -> Response:
        reader = _Reader(await self._document_of(request), self._flaw)
        serial = reader.text("consumer.device.serialNumber", 1, 50)
        access_token = reader.text("session.accessToken", 32, 128)
        token = reader.text("session.token", 16, 36)
        server_card_id = reader.text("sourceCard.reference.serverCardId", 1, 64, optional=True)
        reader.integer("sourceCard.bin")
        reader.integer("sourceCard.reference.uniqueReferenceCardId")
        reader.done()
        sale = next((each for each in self._sales.values() if each.token == token), None)
        if sale is None or (sale.final and self._flaw is Flaw.FINAL_TAKES_NO_CARD):
            raise Refusal(1104)
        taken = self._flaw is Flaw.TAKES_ANY_NOTIFICATION
        if (serial, access_token) != (sale.serial_number, sale.access_token) and not taken:
            raise Refusal(1102, invoice_id=sale.invoice_id)
        if server_card_id:
            kept = "" if self._flaw is Flaw.CARDS_ARE_REPLACED else sale.saved
            sale.saved = kept or str(uuid.uuid4())
            self._cards[sale.saved] = (access_token, serial, server_card_id)
        signature = self._sign(sale.nonce, ENDPOINT_ID, sale.invoice_id)
        session = {"checkSignature": signature, "nonce": sale.nonce, "token": token}
        return JSONResponse({"invoiceId": sale.invoice_id, "session": session})

    async def _client_ids(self, request: Request) -> Response:
        reader = _Reader(await self._document_of(request), self._flaw)
        who = (reader.text("consumer.device.serialNumber", 1, 50), reader.text("session.accessToken", 32, 128))
        reader.done()
        sale = self._sales.get(request.path_params["invoice_id"])
        if sale is None:
            raise Refusal(1104)
        if who != (sale.serial_number, sale.access_token) and self._flaw is not Flaw.TAKES_ANY_NOTIFICATION:
            raise Refusal(1102, invoice_id=sale.invoice_id)
        if not sale.saved:
            raise Refusal(1106, invoice_id=sale.invoice_id)
        return JSONResponse({"sourceCardRefId": sale.saved})

    async def _call_back(self, request: Request) -> Response:
        query = request.query_params
        status, order, invoice_id = (query.get(name, "") for name in ("status", "orderid", "client_orderid"))
        key = CONTROL_KEY.replace("-", "") if self._flaw is Flaw.CONTROL_WITHOUT_DASHES else CONTROL_KEY
        control = hashlib.sha1(f"{status}{order}{invoice_id}{key}".encode()).hexdigest()  # noqa: S324  # as it is
        sale = self._sales.get(invoice_id)
        if sale is None and self._flaw is Flaw.CALLBACK_OF_NOTHING:
            return JSONResponse({})
        if sale is None:
            raise Refusal(1104)
        if query.get("control") != control and self._flaw is not Flaw.TAKES_ANY_CALLBACK:
            raise Refusal(1109)
        if control in sale.callbacks and self._flaw is Flaw.REFUSES_REPEATED_CALLBACKS:
            raise Refusal(1105)
        sale.callbacks.add(control)
        sale.final = sale.final or status == "approved"
        return JSONResponse({})


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _no_number(_: str) -> NoReturn:
    raise ValueError("no number of JSON")


class _Reader:
    """Reads the members of a document, and keeps what is wrong with them."""

    def __init__(self, document: Mapping[str, Any], flaw: Flaw | None, invoice_id: str = "") -> None:
        self._document = document
        self._flaw = flaw
        self._invoice_id = invoice_id
        self._faulty: list[str] = []

    def text(self, path: str, shortest: int, longest: int, pattern: str = ".*", *, optional: bool = False) -> str:
        value = self._member(path)
        if value is None and optional:
            return ""
        if optional and self._flaw is Flaw.REFUSES_OPTIONALS and path.endswith("imei"):
            self._faulty.append(path)
        if not (isinstance(value, str) and self._is_text(value, shortest, longest, pattern)):
            self._faulty.append(path)
            return ""
        return value

    def _is_text(self, value: str, shortest: int, longest: int, pattern: str) -> bool:
        if self._flaw is Flaw.CRASHES:
            value.encode()
        length = len(value.encode(errors="surrogatepass")) if self._flaw is Flaw.COUNTS_BYTES else len(value)
        sound = not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)
        return sound and shortest <= length <= longest and re.fullmatch(pattern, value, re.DOTALL) is not None

    def amount(self, path: str) -> int:
        value = self._member(path)
        if isinstance(value, str) and re.fullmatch("[1-9][0-9]{0,18}", value):
            value = int(value)
        if type(value) is not int or not 0 < value < 2**63:
            self._faulty.append(path)
            return 0
        return value

    def integer(self, path: str) -> None:
        value = self._member(path)
        if isinstance(value, str) and self._flaw is not Flaw.NUMBERS_ONLY:
            value = int(value)
        if value is not None and type(value) is not int:
            self._faulty.append(path)

    def addresses(self, path: str) -> None:
        value = self._member(path)
        if value is not None and not (
            isinstance(value, list) and all(isinstance(each, str) and 7 <= len(each) <= 15 for each in value)
        ):
            self._faulty.append(path)

    def coordinate(self, path: str, limit: int) -> None:
        value = self._member(path)
        if value is not None and not (type(value) in {int, float} and -limit <= value <= limit):
            self._faulty.append(path)

    def only(self, *paths: str) -> None:
        known = {path.partition(".")[0] for path in paths}
        if self._flaw is Flaw.STRICT_MEMBERS and set(self._document) - known:
            self._faulty.append("an unknown member")
        for path in paths:
            value = self._member(path)
            if value is not None and not isinstance(value, dict):
                self._faulty.append(path)

    def done(self) -> None:
        if self._faulty and self._flaw is not Flaw.LENIENT:
            raise Refusal(1001, f"{', '.join(self._faulty)} must be as documented", self._invoice_id)

    def _member(self, path: str) -> Any:
        value: Any = self._document
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value
