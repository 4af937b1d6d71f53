"""`/docs`: every operation with what it takes and answers, and a form to try it out."""

import json
from collections.abc import Collection, Iterable, Mapping

from connectingparty.sale.v1.access_pb2 import Party

from gateway.errors import KINDS
from gateway.json_schema import Schema
from gateway.pages.comments import phrase, prose
from gateway.pages.errors import name_of, words_of
from gateway.pages.examples import document_of, example_of, is_usual
from gateway.pages.fields import Field
from gateway.pages.layout import ERRORS, REFERENCE, SIGNATURES, anchored, code_block, page
from gateway.pages.markup import Markup, element, joined
from gateway.pages.operations import Operation, needs_of, operations_of, sources_of
from gateway.pages.trying import form_of
from gateway.routes import HttpRoute


def reference_page(
    reference: Schema,
    routes: Iterable[HttpRoute],
    parties: Collection[Party.ValueType],
    pages: Mapping[str, str],
    control_key: str | None,
) -> bytes:
    """Return the page.

    Args:
        reference: the OpenAPI document.
        routes: one for each operation.
        parties: whose operations this server has.
        pages: those to be led to.
        control_key: of development mode, if it is the one that counts.
    """
    operations = operations_of(reference, routes, parties)
    sources = sources_of(operations)
    return page(
        pages[REFERENCE],
        element("p", _INTRODUCTION, class_="lead"),
        _contents(operations),
        [_section(operation, needs_of(operation, sources), control_key) for operation in operations],
        pages=pages,
        current=REFERENCE,
        script="reference.js",
    )


_INTRODUCTION = joined(
    [
        "JSON over HTTP, between the consumer's app, the payment gateway and this server. Send these operations one"
        " after the other to make a whole sale: what one answers is filled into the next. Every failure is ",
        element("a", "an error with a stable code", href=ERRORS),
        "; a signature that does not fit can be taken apart in the ",
        element("a", "signature debugger", href=SIGNATURES),
        ".",
    ]
)


def _contents(operations: Iterable[Operation]) -> Markup:
    items = [
        element(
            "li",
            element("a", operation.summary, href=f"#{operation.name}"),
            " ",
            element("code", f"{operation.http_method} {operation.path}"),
        )
        for operation in operations
    ]
    return element("nav", element("ol", items, class_="contents"), aria_label="Operations")


def _section(operation: Operation, needs: Mapping[str, str], control_key: str | None) -> Markup:
    title = [element("span", operation.http_method, class_="method"), " ", element("code", operation.path)]
    # The form stands before the answers, whose errors are many links on the way of who comes by keyboard.
    parts = {"asked": _asked(operation, needs), "tried": _tried(operation, needs, control_key)}
    parts["answered"] = _answered(operation)
    return element(
        "section",
        anchored("h2", title, operation.name),
        element("div", [element("div", part, class_=name) for name, part in parts.items()], class_="columns"),
        id=operation.name,
        class_="operation",
    )


def _asked(operation: Operation, needs: Mapping[str, str]) -> list[Markup]:
    return [
        prose(operation.description),
        element("p", f"Sent by: {operation.sender}. Over gRPC: {operation.service}.{operation.name}.", class_="note"),
        element("h3", "Request"),
        _fields([*operation.request_fields, *operation.header_fields], needs),
    ]


def _tried(operation: Operation, needs: Mapping[str, str], control_key: str | None) -> list[Markup]:
    return [
        form_of(operation, needs, control_key) if operation.is_served else element("p", _ELSEWHERE, class_="note"),
        element("details", element("summary", "By curl"), code_block(_curl(operation)), open=True, class_="curl"),
    ]


def _answered(operation: Operation) -> list[Markup]:
    return [
        element("h3", "Answer: 200"),
        _fields(operation.answer_fields) if operation.answer_fields else element("p", "An empty object."),
        element("h3", "Errors"),
        _errors(operation.codes),
    ]


_ELSEWHERE = "It is served on the payment gateways' own port, and can't be tried out from here."


def _fields(fields: Iterable[Field], needs: Mapping[str, str] | None = None) -> Markup:
    return element("dl", [_field(field, needs) for field in fields], class_="fields")


def _field(field: Field, needs: Mapping[str, str] | None) -> Markup:
    is_request = needs is not None
    words = ", ".join(filter(None, [field.type, field.bounds]))
    required = element("strong", "required" if is_request else "always", class_="required") if field.is_required else ""
    return element(
        "div",
        element("dt", element("code", field.path), " ", element("span", words, class_="type"), " ", required),
        element("dd", phrase(field.description), *(_example(field) if is_request else ())),
    )


def _example(field: Field) -> list[Markup | str]:
    example = example_of(field)
    if isinstance(example, str) and example.startswith("{"):
        return []
    return [" Example: ", element("code", str(example))]


def _errors(codes: Iterable[int]) -> Markup:
    return element("ul", [_error(code) for code in codes], class_="codes")


def _error(code: int) -> Markup:
    return element(
        "li",
        element("a", str(code), href=f"{ERRORS}#{code}"),
        f" {name_of(code)} ({KINDS[code].http_status}): ",
        phrase(words_of(code)),
    )


def _curl(operation: Operation) -> str:
    if operation.has_body:
        usual = document_of(filter(is_usual, operation.body_fields))
        body = json.dumps(usual, indent=2)
        path = operation.path.replace("{invoice_id}", "{invoiceId}")
        return f"curl -s $BASE{path} \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    usual_query = [f"{field.path}={example_of(field)}" for field in operation.query_fields if is_usual(field)]
    return f'curl -s "$BASE{operation.path}{"?" if usual_query else ""}' + "&".join(usual_query) + '"'
