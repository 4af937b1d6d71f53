"""`/docs/errors`: every code, when it is sent and what to do about it."""

import json
from collections.abc import Mapping

from connectingparty.sale.v1.error_reason_pb2 import ErrorCause, ErrorReason
from google.rpc.code_pb2 import Code

from gateway.comments import COMMENTS
from gateway.errors import KINDS, GatewayError
from gateway.json_schema import Schema
from gateway.pages.advice import ADVICE
from gateway.pages.comments import phrase, prose
from gateway.pages.layout import ERRORS, REFERENCE, anchored, code_block, page
from gateway.pages.markup import Content, Markup, element, joined

_PREFIX = "ERROR_REASON_"
_CAUSE_PREFIX = "ERROR_CAUSE_"


def name_of(code: int) -> str:
    """Return the name of a kind of error, as in `SESSION_MISMATCH`."""
    return ErrorReason.Name(code).removeprefix(_PREFIX)  # type: ignore[arg-type]  # the numbers are the enum's


def words_of(code: int) -> str:
    """Return when a kind of error is sent, as the proto says."""
    return COMMENTS[f"{ErrorReason.DESCRIPTOR.full_name}.{_PREFIX}{name_of(code)}"]


def errors_page(reference: Schema, pages: Mapping[str, str]) -> bytes:
    """Return the page.

    Args:
        reference: the OpenAPI document.
        pages: those to be led to.
    """
    senders = _senders(reference)
    return page(
        pages[ERRORS],
        element("p", prose(COMMENTS[ErrorReason.DESCRIPTOR.full_name].partition("\n\n")[0]), class_="lead"),
        _contents(),
        element("section", element("h2", "Causes"), _causes()),
        [_article(code, senders.get(code, {})) for code in KINDS],
        pages=pages,
        current=ERRORS,
    )


def _contents() -> Markup:
    items = [
        element("li", element("a", element("code", str(code)), " ", name_of(code), href=f"#{code}")) for code in KINDS
    ]
    return element("nav", element("ul", items, class_="contents codes"), aria_label="Codes")


def _causes() -> Markup:
    return element(
        "dl",
        [
            element(
                "div", element("dt", element("code", name.removeprefix(_CAUSE_PREFIX))), element("dd", _cause(name))
            )
            for name, number in ErrorCause.items()
            if number
        ],
        class_="fields",
    )


def _cause(name: str) -> Markup:
    return phrase(COMMENTS[f"{ErrorCause.DESCRIPTOR.full_name}.{name}"])


def _senders(reference: Schema) -> dict[int, dict[str, str]]:
    """Return by code which operations answer it: their names, and what they are called."""
    senders: dict[int, dict[str, str]] = {}
    for path, operations in reference["paths"].items():
        for method, operation in operations.items():
            for answer in operation["responses"].values():
                for name in answer["content"]["application/json"].get("examples", ()):
                    told = senders.setdefault(ErrorReason.Value(name), {})
                    told[operation["operationId"]] = f"{method.upper()} {path}"
    return senders


def _article(code: int, senders: Mapping[str, str]) -> Markup:
    kind = KINDS[code]
    body = json.loads(GatewayError(code).body())  # type: ignore[arg-type]  # the numbers are the enum's
    facts: dict[str, Content] = {
        "Cause": element("code", ErrorCause.Name(kind.cause).removeprefix(_CAUSE_PREFIX)),
        "HTTP status": str(kind.http_status),
        "gRPC status": Code.Name(kind.grpc_code) if kind.grpc_code else "does not arise over gRPC",
        "When": phrase(words_of(code)),
        "What to do": phrase(ADVICE[code]),
        "Answered by": _links(senders) if senders else "rpcs that have no HTTP route",
    }
    return element(
        "article",
        anchored("h2", [element("code", str(code)), " ", name_of(code)], str(code)),
        element(
            "dl",
            [element("div", element("dt", term), element("dd", fact)) for term, fact in facts.items()],
            class_="facts",
        ),
        code_block(json.dumps(body, indent=2)),
        id=str(code),
        class_="error",
    )


def _links(senders: Mapping[str, str]) -> Markup:
    links = [element("a", element("code", title), href=f"{REFERENCE}#{name}") for name, title in senders.items()]
    return joined([piece for link in links for piece in (", ", link)][1:])
