"""The form by which an operation is tried out: filled and sent by `assets/reference.js`, and hidden without it."""

import json
from collections.abc import Iterable, Mapping

from gateway.pages.examples import SAME, document_of, example_of, is_usual
from gateway.pages.fields import Field
from gateway.pages.markup import Content, Markup, element
from gateway.pages.operations import Operation

_OTHERS = "parameters"
"""The field that takes whatever other parameters there are."""
_CONTROL = "control"


def form_of(operation: Operation, needs: Mapping[str, str], control_key: str | None) -> Markup:
    """Return the form of an operation.

    Args:
        operation: which.
        needs: what it takes from earlier answers, and from which operation's.
        control_key: of development mode, if it is the one that counts.
    """
    named = [(field, "path") for field in operation.path_fields]
    named += [(field, "query") for field in operation.query_fields if field.path != _OTHERS]
    takes_others = any(field.path == _OTHERS for field in operation.query_fields)
    signs = any(field.path == _CONTROL for field in operation.query_fields)
    return element(
        "form",
        element("h3", "Try it out"),
        element("p", class_="missing", hidden=True),
        [_input(operation, field, place) for field, place in named],
        _others(operation) if takes_others else None,
        _control_key(operation, control_key) if signs else None,
        _body(operation) if operation.has_body else None,
        element(
            "details",
            element("summary", "Headers"),
            [_input(operation, field, "header", is_filled=False) for field in operation.header_fields],
        ),
        element(
            "p",
            element("button", "Send", type="submit"),
            " ",
            element("button", "Copy as curl", type="button", class_="quiet copy"),
            class_="buttons",
        ),
        element("div", class_="answer", aria_live="polite"),
        class_="try",
        hidden=True,
        autocomplete="off",
        aria_label=f"Try out {operation.name}",
        data_name=operation.name,
        data_method=operation.http_method,
        data_path=operation.path,
        data_needs=json.dumps(needs),
        data_same=json.dumps(SAME),
    )


def labelled(label: Content, control_id: str, control: Content, hint: str | None = None) -> Markup:
    """Return a control under its label.

    Args:
        label: what it says.
        control_id: of the control.
        control: what is labelled.
        hint: more words about it; the control refers to them by the id with `-hint`.
    """
    words = hint and element("small", hint, id=f"{control_id}-hint")
    return element("p", element("label", label, for_=control_id), control, words, class_="field")


def _input(operation: Operation, field: Field, place: str, *, is_filled: bool = True) -> Markup:
    control_id = f"{operation.name}-{field.path}"
    is_set = is_filled and is_usual(field)
    value = str(example_of(field)) if is_set and field.path != _CONTROL else ""
    control = element(
        "input",
        id=control_id,
        value=value,
        data_in=place,
        data_name=field.path,
        data_template=value,
        spellcheck="false",
        autocapitalize="off",
    )
    return labelled(element("code", field.path), control_id, control)


def _others(operation: Operation) -> Markup:
    control_id = f"{operation.name}-others"
    control = element(
        "input", id=control_id, data_in="others", spellcheck="false", placeholder="descriptor=ACME&bin=444455"
    )
    return labelled("Other parameters", control_id, control)


def _control_key(operation: Operation, control_key: str | None) -> Markup:
    control_id = f"{operation.name}-key"
    control = element(
        "input",
        id=control_id,
        class_="control-key",
        value=control_key,
        spellcheck="false",
        autocapitalize="off",
        aria_describedby=f"{control_id}-hint",
    )
    hint = "Computes control as you type. The key stays in this page: it is neither sent nor stored."
    return labelled("Control key", control_id, control, hint)


def _body(operation: Operation) -> Markup:
    control_id = f"{operation.name}-body"
    usual, every = _document(filter(is_usual, operation.body_fields)), _document(operation.body_fields)
    area = element(
        "textarea",
        usual,
        id=control_id,
        rows=len(usual.splitlines()) + 1,
        spellcheck="false",
        autocapitalize="off",
        data_in="body",
        data_template=usual,
        aria_describedby=f"{control_id}-hint",
        aria_keyshortcuts="Control+Enter Meta+Enter",
    )
    choice = element(
        "p",
        element("button", "With every member", type="button", class_="quiet every", data_template=every),
        class_="buttons",
    )
    return Markup(labelled("Body", control_id, area, "Ctrl+Enter sends it.") + ("" if usual == every else choice))


def _document(fields: Iterable[Field]) -> str:
    return json.dumps(document_of(fields), indent=2, ensure_ascii=False)
