"""`/docs/signatures`: what is signed, and what is wrong with a signature. All of it is computed by the browser."""

from collections.abc import Mapping

from gateway.pages.layout import SIGNATURES, page
from gateway.pages.markup import Markup, element
from gateway.pages.signature_words import KINDS, SignatureKind
from gateway.pages.trying import labelled


def signatures_page(pages: Mapping[str, str], control_key: str | None) -> bytes:
    """Return the page.

    Args:
        pages: those to be led to.
        control_key: of development mode, if it is the one that counts.
    """
    return page(
        pages[SIGNATURES],
        element("p", _INTRODUCTION, class_="lead"),
        element("p", "This page computes by JavaScript. ", _ELSEWHERE, class_="without-script"),
        element("p", _INSECURE, class_="warning insecure", hidden=True),
        element(
            "form",
            _choice(),
            [_parts(name, kind) for name, kind in KINDS.items()],
            _key(control_key),
            _pasted(),
            class_="debugger",
            hidden=True,
            autocomplete="off",
            aria_label="Signature debugger",
        ),
        element("section", element("h2", "How they are made"), _made()),
        pages=pages,
        current=SIGNATURES,
        script="signatures.js",
    )


_INTRODUCTION = (
    "Type the parts and your control key to see what is signed and what comes out, and paste the signature that you"
    " have: where it does not fit, the page tells which common mistake would have made it. The control key stays in"
    " this page: it is neither sent nor stored."
)
_ELSEWHERE = "On the command line, sale-service sign and sale-service explain do the same."
_INSECURE = (
    "This page was loaded without encryption from another host, and browsers do not let such a page compute signatures."
    f" Open it by HTTPS, or on the host itself by http://127.0.0.1. {_ELSEWHERE}"
)


def _choice() -> Markup:
    options = [
        element(
            "label",
            element("input", type="radio", name_="kind", value=name, checked=not place),
            " ",
            kind.title,
        )
        for place, (name, kind) in enumerate(KINDS.items())
    ]
    return element("fieldset", element("legend", "Which signature"), options, class_="choice")


def _parts(name: str, kind: SignatureKind) -> Markup:
    controls = [
        labelled(
            [element("span", class_=f"swatch part-{place}", aria_hidden="true"), " ", element("code", part)],
            f"{name}-{part}",
            element(
                "input",
                id=f"{name}-{part}",
                data_part=part,
                spellcheck="false",
                autocapitalize="off",
                placeholder="left out" if part in kind.optional else None,
            ),
        )
        for place, part in enumerate(kind.parts)
    ]
    return element(
        "fieldset", element("legend", "Parts, in the order in which they are signed"), controls, data_kind=name
    )


def _key(control_key: str | None) -> Markup:
    control = element(
        "input",
        id="control-key",
        value=control_key,
        spellcheck="false",
        autocapitalize="off",
        aria_describedby="control-key-hint",
    )
    return element(
        "fieldset",
        element("legend", "Control key"),
        labelled("As the provider writes it", "control-key", control, "Hexadecimal digits, with or without dashes."),
        element("h2", "String to sign"),
        element("pre", id="string", tabindex="0", aria_label="String to sign"),
        element("p", id="length", class_="note"),
        element("h2", "Signature"),
        element("output", id="signature", for_="control-key"),
    )


def _pasted() -> Markup:
    area = element("textarea", id="pasted", rows=2, spellcheck="false", autocapitalize="off")
    return element(
        "fieldset",
        element("legend", "Your signature"),
        labelled("Paste the one that you have", "pasted", area),
        element("div", id="verdict", role="status", class_="verdict"),
    )


def _made() -> Markup:
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", kind.title, " ", element("span", kind.told, class_="type")),
                element("dd", _recipe(kind)),
            )
            for kind in KINDS.values()
        ],
        class_="fields",
    )


def _recipe(kind: SignatureKind) -> str:
    parts = " + ".join(f"[{part}]" if part in kind.optional else part for part in kind.parts)
    if kind.key:
        made = f"Lower-case hexadecimal SHA-1 of {parts} + the control key as it is written, dashes and all."
    else:
        made = f"Hexadecimal HMAC-SHA1 of {parts} under the control key: its digits, without dashes, decoded to bytes."
    return f"{made} UTF-8, and nothing between the parts."
