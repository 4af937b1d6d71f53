"""The kit can fail: each flaw of a server is found by the requirements that it breaks, and by no other."""

import ssl
from collections.abc import Iterator, Mapping, Sequence

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
}

MANY_REQUESTS = ("*.objects", "*.imei", "*.ip-addresses", "*.longitude", "*.latitude", "*.bounds", "*-body")
"""What the long form asks too."""


@pytest.fixture(scope="module")
def reference() -> Iterator[str]:
    mounts = [Mount(f"/{flaw.name}", ReferenceServer(flaw).app()) for flaw in Flaw]
    with serving(Starlette(routes=[*mounts, Mount("/", ReferenceServer().app())])) as url:
        yield url


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    return Tls().context()


async def verify(
    url: str, tls: ssl.SSLContext, *only: str, skip: Sequence[str] = (), key: str | None = CONTROL_KEY
) -> list[Finding]:
    async with Wire(tls, timeout_seconds=20.0) as wire:
        return await Runner(Terms(url, url, "EUR", 1042, key, ()), wire, lambda _: None).run(chosen(only, skip))


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
    groups = sorted({name.partition(".")[0] for name in BROKEN[flaw]})
    findings = await verify(f"{reference}/{flaw.name}", tls, *groups, skip=MANY_REQUESTS)

    assert ids(findings, Verdict.FAILS) == BROKEN[flaw]
    assert ids(findings, Verdict.BLOCKED, Verdict.SKIPPED) == set()


@pytest.mark.long
@pytest.mark.parametrize("flaw", Flaw, ids=lambda flaw: flaw.name)
async def test_a_flaw_breaks_nothing_else_anywhere(reference: str, tls: ssl.SSLContext, flaw: Flaw) -> None:
    findings = await verify(f"{reference}/{flaw.name}", tls)

    assert ids(findings, Verdict.FAILS, Verdict.BLOCKED, Verdict.SKIPPED) == BROKEN[flaw]


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
