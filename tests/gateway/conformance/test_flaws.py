"""The kit can fail: each flaw of a server is found by the requirements that it breaks, and by no other."""

import ssl
from collections.abc import Iterator, Mapping

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from gateway.conformance.catalogue import REQUIREMENTS, chosen
from gateway.conformance.runner import Finding, Runner, Verdict, holds
from gateway.conformance.trade import Terms
from gateway.conformance.wire import Tls, Wire
from tests.gateway.conformance.reference_server import CONTROL_KEY, Flaw, ReferenceServer
from tests.gateway.conformance.serving import serving

pytestmark = pytest.mark.anyio

SIGNED = ("signature", "signature-utf-8", "large-amount", "amount-as-string")
CALLED_BACK = ("accepted", "every-status", "every-type", "repeated", "late", "unknown-parameters", "key-as-written")
BROKEN: Mapping[Flaw, set[str]] = {
    Flaw.KEY_AS_TEXT: {
        *(f"initiate.{name}" for name in SIGNED),
        "check.signature",
        "check.signature-utf-8",
        "cards.notification-signature",
        "cards.second-sale-signature",
    },
    Flaw.MAJOR_UNITS: {f"initiate.{name}" for name in SIGNED},
    Flaw.LOWER_CASE_CURRENCY: {f"initiate.{name}" for name in SIGNED},
    Flaw.OTHER_ORDER: {"check.signature", "check.signature-utf-8", "cards.second-sale-signature"},
    Flaw.LATIN_1: {"initiate.signature-utf-8", "check.signature-utf-8"},
    Flaw.NULL_OPTIONALS: {"check.no-null"},
    Flaw.INTEGERS_AS_STRINGS: {"check.types", "cards.second-sale"},
    Flaw.FORGETS_IDEMPOTENCY: {
        "initiate.idempotency-key",
        "initiate.idempotency-key-reused",
        "races.idempotency-key",
        "connections.lost-answer",
    },
    Flaw.REFUSES_REPEATS: {
        "check.repeat",
        "cards.second-sale-repeat",
        "errors.codes",
        "races.one-session-token",
        "races.same-check",
    },
    Flaw.LEAKS_THE_FIELD: {"check.silent"},
    Flaw.PLAIN_404: {"errors.unknown-path", "errors.codes"},
    Flaw.ANY_AMOUNT: {"check.another-amount"},
    Flaw.RECOMPUTES_ONLY: {"check.moved-characters"},
    Flaw.TAKES_ANY_NONCE: {
        "check.tampered-nonce",
        "check.another-sale",
        "check.silent",
        "check.refusal-invoice-id",
        "errors.codes",
    },
    Flaw.TWO_WINNERS: {"races.one-session-token"},
    Flaw.CONTROL_WITHOUT_DASHES: {
        *(f"callback.{name}" for name in CALLED_BACK),
        "check.after-callback",
        "races.callbacks",
    },
    Flaw.REFUSES_REPEATED_CALLBACKS: {"callback.repeated", "races.callbacks"},
    Flaw.TAKES_ANY_CALLBACK: {"callback.wrong-control", "callback.tampered", "callback.key-as-written", "errors.codes"},
    Flaw.STRICT_MEMBERS: {"initiate.unknown-members", "check.unknown-members"},
    Flaw.COUNTS_BYTES: {"initiate.serial-number", "initiate.code-points"},
    Flaw.CARD_OF_ANYBODY: {"cards.another-consumer"},
    Flaw.COUNTED_NONCES: {"initiate.random-nonce"},
    Flaw.ROUNDED_AMOUNTS: {"initiate.large-amount"},
    Flaw.CRASHES: {"initiate.no-nul", "errors.hostile-strings"},
    Flaw.OWN_CODES: {"errors.codes"},
    Flaw.ALWAYS_200: {"errors.statuses"},
    Flaw.NO_INVOICE_ID: {"check.refusal-invoice-id"},
    Flaw.LENIENT: {
        "initiate.unknown-access-token",
        "initiate.serial-number",
        "initiate.access-token",
        "initiate.amount",
        "initiate.amount-positive",
        "initiate.currency",
        "initiate.unknown-currency",
        "initiate.imei",
        "initiate.ip-addresses",
        "initiate.latitude",
        "initiate.longitude",
        "initiate.objects",
        "initiate.no-nul",
        "initiate.names-the-field",
        "check.bounds",
        "cards.notification-bounds",
        "errors.no-json-numbers",
        "errors.cause",
        "errors.codes",
    },
    Flaw.REFUSES_OPTIONALS: {
        "initiate.optional-members",
        "initiate.imei",
    },
    Flaw.LENIENT_JSON: {
        "errors.malformed-json",
        "errors.empty-body",
        "errors.no-utf-8",
        "errors.duplicate-keys",
        "errors.deep-nesting",
        "errors.long-number",
        "errors.oversize-body",
        "errors.cause",
        "errors.codes",
    },
    Flaw.PLAIN_ERRORS: {
        "initiate.names-the-field",
        "check.refusal-invoice-id",
        "errors.unknown-path",
        "errors.wrong-method",
        "errors.malformed-json",
        "errors.empty-body",
        "errors.no-object",
        "errors.no-utf-8",
        "errors.no-json-numbers",
        "errors.duplicate-keys",
        "errors.deep-nesting",
        "errors.long-number",
        "errors.hostile-strings",
        "errors.oversize-body",
        "errors.content-type",
        "errors.cause",
        "errors.shape",
        "errors.codes",
        "errors.statuses",
    },
    Flaw.NO_CHARSET: {
        "initiate.charset",
    },
    Flaw.ANY_CONTENT_TYPE: {
        "errors.content-type",
        "errors.codes",
    },
    Flaw.ONE_ACCESS_TOKEN: {
        "auth.fresh",
        "check.another-consumer",
        "cards.client-ids-refusals",
    },
    Flaw.TAKES_ANY_ACCESS_TOKEN: {
        "initiate.unknown-access-token",
        "check.tampered-access-token",
        "check.another-consumer",
        "check.silent",
    },
    Flaw.TAKES_ANY_SERIAL_NUMBER: {
        "check.unicode-form",
        "check.tampered-serial-number",
        "check.another-consumer",
        "check.silent",
    },
    Flaw.TAKES_ANY_SIGNATURE: {
        "check.tampered-signature",
        "check.another-sale",
        "check.another-amount",
        "check.silent",
    },
    Flaw.FINDS_BY_NONCE: {
        "check.another-sale",
        "check.unknown-invoice",
        "check.silent",
        "check.refusal-invoice-id",
        "errors.codes",
    },
    Flaw.TAKES_ANY_CURRENCY: {
        "initiate.unknown-currency",
    },
    Flaw.LAST_TOKEN_WINS: {
        "check.another-session-token",
        "errors.codes",
        "races.one-session-token",
    },
    Flaw.FINAL_IS_NOTHING: {
        "check.after-callback",
    },
    Flaw.CASE_SENSITIVE: {
        "check.signature-case",
    },
    Flaw.COMPOSES_UNICODE: {
        "check.unicode-form",
    },
    Flaw.DIGITS_AT_THE_END: {
        "initiate.no-lent-digit",
    },
    Flaw.CONSTANT_NONCES: {
        "initiate.unique",
        "initiate.random-nonce",
        "check.another-sale",
        "check.refusal-invoice-id",
        "errors.codes",
    },
    Flaw.SHORT_SIGNATURES: {
        "initiate.signature",
        "initiate.signature-utf-8",
        "initiate.signature-form",
        "initiate.large-amount",
        "initiate.amount-as-string",
        "check.signature",
        "check.signature-utf-8",
        "cards.notification-signature",
        "cards.second-sale-signature",
    },
    Flaw.CARDS_ARE_REPLACED: {
        "cards.notification-repeat",
    },
    Flaw.TAKES_ANY_NOTIFICATION: {
        "cards.notification-refusals",
        "cards.client-ids-refusals",
    },
    Flaw.NO_CARDS: {
        "cards.notification",
        "cards.notification-optional",
        "cards.notification-integers",
        "cards.after-callback",
    },
    Flaw.NUMBERS_ONLY: {
        "cards.notification-integers",
    },
    Flaw.FINAL_TAKES_NO_CARD: {
        "cards.after-callback",
    },
    Flaw.TAKES_ANY_CARD: {
        "cards.unknown-card",
        "errors.codes",
    },
    Flaw.CALLBACK_OF_NOTHING: {
        "callback.unknown-invoice",
    },
    Flaw.FORGETS_CARDS: {
        "cards.second-sale",
        "cards.second-sale-signature",
    },
}

UNBROKEN = {
    "kit.signatures": "asks no server",
    "auth.request-access-token": "nothing can be tested without",
    "initiate.success": "nothing can be tested without",
    "initiate.nonce-length": "nothing can be checked without",
    "check.confirms": "little can be tested without",
    "check.session-token": "little can be tested without",
    "check.swapped-parts": "each of the parts is looked at by itself before",
    "cards.client-ids": "little can be tested of cards without",
    "errors.malformed-http": "the HTTP server's",
    "errors.head-and-options": "the HTTP server's",
    "races.notifications": "takes a database",
    "connections.slow-body": "the HTTP server's",
    "connections.chunked-body": "the HTTP server's",
    "connections.cut-body": "the HTTP server's",
    "connections.pipelined": "the HTTP server's",
    "connections.keep-alive": "the HTTP server's",
    "connections.timely": "takes 20 seconds",
}
"""What no flaw is there for, and why."""
MANY_REQUESTS = (
    *(f"initiate.{name}" for name in ("unique", "random-nonce", "no-lent-digit", "serial-number", "access-token")),
    *("initiate.amount*", "initiate.currency", "initiate.objects", "initiate.ip-addresses", "initiate.l*itude"),
    *("check.bounds", "errors.deep-nesting", "errors.oversize-body", "races.*", "connections.*"),
)
"""What the short form asks only where a flaw concerns it."""


@pytest.fixture(scope="module")
def reference() -> Iterator[str]:
    mounts = [Mount(f"/{flaw.name}", ReferenceServer(flaw).app()) for flaw in Flaw]
    with serving(Starlette(routes=[*mounts, Mount("/", ReferenceServer().app())])) as url:
        yield url


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    return Tls().context()


async def verify(url: str, tls: ssl.SSLContext, *only: str, key: str | None = CONTROL_KEY) -> list[Finding]:
    async with Wire(tls, timeout_seconds=20.0) as wire:
        return await Runner(Terms(url, url, "EUR", 1042, key, ()), wire, lambda _: None).run(chosen(only, ()))


def ids(findings: list[Finding], *verdicts: Verdict) -> set[str]:
    return {finding.requirement.id for finding in findings if finding.verdict in verdicts}


async def test_a_server_that_is_not_ours_holds_everything(reference: str, tls: ssl.SSLContext) -> None:
    findings = await verify(reference, tls)

    assert [finding for finding in findings if finding.verdict is not Verdict.HOLDS] == []
    assert len(findings) == len(REQUIREMENTS)


@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.name)
async def test_a_flaw_breaks_what_it_concerns_and_nothing_else_there(
    reference: str, tls: ssl.SSLContext, flaw: Flaw
) -> None:
    groups = {name.partition(".")[0] for name in BROKEN[flaw]}
    expected = {each.id for each in chosen(sorted(groups), MANY_REQUESTS)} | BROKEN[flaw]
    findings = await verify(f"{reference}/{flaw.name}", tls, *sorted(expected))

    assert ids(findings, Verdict.FAILS) == BROKEN[flaw]
    assert ids(findings, Verdict.SKIPPED) == set()
    assert flaw is Flaw.NO_CARDS or ids(findings, Verdict.BLOCKED) == set()


def test_every_requirement_can_fail() -> None:
    assert {each.id for each in REQUIREMENTS} - set().union(*BROKEN.values()) == set(UNBROKEN)


@pytest.mark.long
@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.name)
async def test_a_flaw_breaks_nothing_else_anywhere(reference: str, tls: ssl.SSLContext, flaw: Flaw) -> None:
    findings = await verify(f"{reference}/{flaw.name}", tls)

    assert ids(findings, Verdict.FAILS) == BROKEN[flaw]


async def test_numbers_and_statuses_of_its_own_are_no_fault_of_a_server(reference: str, tls: ssl.SSLContext) -> None:
    for flaw in (Flaw.OWN_CODES, Flaw.ALWAYS_200):
        findings = await verify(f"{reference}/{flaw.name}", tls, "errors")

        assert holds(findings, strict=False)
        assert not holds(findings, strict=True)


@pytest.mark.parametrize(
    ("flaw", "name", "told"),
    [
        (Flaw.KEY_AS_TEXT, "initiate.signature", "the control key with its dashes is used as text"),
        (Flaw.MAJOR_UNITS, "initiate.signature", "the amount is signed in major units"),
        (Flaw.LOWER_CASE_CURRENCY, "initiate.signature", "the currency is signed in lower case"),
        (Flaw.OTHER_ORDER, "check.signature", "the parts are signed in the reverse order"),
    ],
)
async def test_a_wrong_signature_is_told_with_the_mistake_that_makes_it(
    reference: str, tls: ssl.SSLContext, flaw: Flaw, name: str, told: str
) -> None:
    (finding,) = await verify(f"{reference}/{flaw.name}", tls, name)

    assert told in finding.faults[0].got


async def test_without_the_control_key_what_needs_it_is_skipped_and_the_rest_is_tested(
    reference: str, tls: ssl.SSLContext
) -> None:
    findings = await verify(reference, tls, "initiate", "callback", key=None)

    assert ids(findings, Verdict.SKIPPED) == {
        each.id for each in chosen(["initiate", "callback"], ()) if each.needs_key
    }
    assert ids(findings, Verdict.FAILS, Verdict.BLOCKED) == set()
    assert holds(findings, strict=True)


async def test_what_can_not_be_reached_is_blocked_and_does_not_hold(reference: str, tls: ssl.SSLContext) -> None:
    findings = await verify(f"{reference}/nothing", tls, "check")

    assert ids(findings, Verdict.BLOCKED) == {each.id for each in chosen(["check"], ())}
    assert "no access token was given out: HTTP 404" in findings[0].reason
    assert not holds(findings, strict=False)


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, "[]"),
        (500, "<html>"),
        (200, '{"error": {"cause": 5, "code": "' + "9" * 5000 + '", "message": []}}'),
        (200, '{"endpointId": "1", "invoiceId": "2", "session": [], "sourceOfFunds": [], "sourceCardRefId": "x"}'),
        pytest.param(200, "", marks=LONG),
        pytest.param(200, "{}", marks=LONG),
        pytest.param(500, '"text"', marks=LONG),
        pytest.param(200, '{"error": "text"}', marks=LONG),
        pytest.param(400, '{"error": {}}', marks=LONG),
        pytest.param(200, "[" * 100_000, marks=LONG),
        pytest.param(
            200,
            '{"endpointId": "1", "invoiceId": "/?", "session": {"nonce": "3", "signature": "4", "checkSignature": {}}}',
            marks=LONG,
        ),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_whatever_a_server_answers_there_is_a_verdict(tls: ssl.SSLContext, answer: str, status: int) -> None:
    async def always(_: Request) -> Response:
        return Response(answer, status, media_type="application/json")

    routes = [Route("/{path:path}", always, methods=["GET", "POST", "PUT", "DELETE"])]
    with serving(Starlette(routes=routes)) as url:
        async with Wire(tls, timeout_seconds=20.0) as wire:
            terms = Terms(url, url, "EUR", 1042, CONTROL_KEY, ("f" * 64, "0" * 64))
            findings = await Runner(terms, wire, lambda _: None).run(chosen((), ["connections"]))

    assert not holds(findings, strict=False)
    assert "initiate.unique" not in ids(findings, Verdict.HOLDS)
