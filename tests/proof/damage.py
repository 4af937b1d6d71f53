"""Damage to a document as text and as bytes, wherever it strikes."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.proof.pieces import BOMS, BYTES, ENCODINGS, FILLINGS, HEADS, SIGNS, SPACES, TAILS

MAX_BODY_BYTES = 65_536
Pick = Callable[[Sequence[Any]], Any]


def damaged_text(text: str, at: int, pick: Pick) -> str:
    """Return JSON whose syntax is broken, or was meant to be.

    Args:
        text: the document.
        at: where it is damaged.
        pick: chooses one of several things.
    """
    changes: tuple[Callable[[], str], ...] = (
        lambda: text[:at],
        lambda: text[:at] + pick(SIGNS) + text[at:],
        lambda: text[:at] + pick(SPACES) + text[at:],
        lambda: pick(SPACES) + text,
        lambda: text + pick(TAILS),
        lambda: text + text,
        lambda: pick(HEADS) + text + pick(("]", "", '"')),
        lambda: text.replace(pick((",", ":", '"', "{")), pick(("", ";", "'", "\u201c")), 1),
    )
    damaged: str = pick(changes)()
    return damaged


def damaged_bytes(body: bytes, at: int, pick: Pick) -> bytes:
    """Return bytes that are no UTF-8, no JSON, or too many.

    Args:
        body: the document.
        at: where it is damaged.
        pick: chooses one of several things.
    """
    changes: tuple[Callable[[], bytes], ...] = (
        lambda: body[:at],
        lambda: pick(BOMS) + body,
        lambda: body.decode("utf-8", "replace").encode(pick(ENCODINGS)),
        lambda: body[:at] + pick(BYTES) + body[at:],
        lambda: body[:at] + body[at + pick(range(1, 8)) :],
        lambda: body[:at] + body[max(0, at - 40) : at] + body[at:],
        lambda: body[:at] + bytes((pick(range(256)),)) + body[at + 1 :],
    )
    damaged: bytes = pick(changes)()
    return damaged


def filled(body: bytes, at: int, pick: Pick) -> bytes:
    """Return a body as long as the server takes one, or a byte longer.

    Args:
        body: the document.
        at: from where on it is filled.
        pick: chooses one of several things.
    """
    longest: int = pick((MAX_BODY_BYTES, MAX_BODY_BYTES + 1))
    filling: bytes = pick(FILLINGS)
    return (body[:at] + filling * longest)[:longest]
