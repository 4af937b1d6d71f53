"""Which signatures there are, of what parts, and the words for each mistake: for the page, and for the command line."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple


class SignatureKind(NamedTuple):
    """One of the signatures of the contract."""

    title: str
    told: str
    """Where it stands, in words."""
    parts: tuple[str, ...]
    """JSON paths of what is signed, in its order."""
    optional: frozenset[str]
    """Those that may be left out."""
    key: str | None
    """What the control key is called where it is the last part; None where it is the key of an HMAC."""


def _kind(told: Mapping[str, Any]) -> SignatureKind:
    optional = frozenset(told.get("optional", ()))
    return SignatureKind(told["title"], told["told"], tuple(told["parts"]), optional, told.get("key"))


_FILE: Mapping[str, Any] = json.loads(
    (files("gateway.pages") / "assets" / "signatures.json").read_text(encoding="utf-8")
)
KINDS: Mapping[str, SignatureKind] = {name: _kind(told) for name, told in _FILE["kinds"].items()}
MISTAKES: Mapping[str, str] = _FILE["mistakes"]
"""By id; `{0}` stands for the first of a mistake's details."""
VERDICTS: Mapping[str, str] = _FILE["verdicts"]
"""`right`, `wrong`, `none`: no signature at all, and `unknown`: wrong for no reason that is known here."""
