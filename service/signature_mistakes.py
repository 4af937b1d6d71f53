"""Which common mistake would have made a wrong signature. Pure functions of strings and keys.

The page `/docs/signatures` searches in the same way (`gateway/pages/assets/mistakes.js`): a test compares the two.
"""

import base64
import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from service.signature_computations import (
    WRONG_ENCODINGS,
    Computation,
    Digest,
    Value,
    cut_digest,
    hmac_digest,
    plain_digest,
)
from service.signing import ControlKey

AMOUNT = "transaction.amountCentis"
"""Name of the part that is an amount."""
_SEPARATORS = (",", ";", ":", "|", "&", " ", "\n", "-", "+", ".", "/", "_", "\t")
_UNRESERVED = "-_.!~*'()"
"""What JavaScript's encodeURIComponent leaves as it is, besides letters and digits."""
_UUID_BYTES = 16
_CUT = range(8, 40)
"""So many digits of a signature that is cut tell it from others."""


class Mistake(NamedTuple):
    """One thing that was done wrong."""

    id: str
    """Stable, as in `amount_major`."""
    details: tuple[str, ...] = ()
    """Names of the parts that it is about, or what stood between them."""


class _Change(NamedTuple):
    """A mistake, and how it changes the computation."""

    mistake: Mistake
    of: str
    """What it changes. Two changes of one thing do not go together."""
    apply: Callable[[Computation], Computation]


def explain(signature: str, key: ControlKey, computation: Computation) -> tuple[Mistake, ...] | None:
    """Return the mistakes that would have made a signature: none if it is right, two at most.

    Args:
        signature: what was given.
        key: the endpoint's control key.
        computation: how it should have been computed.

    Returns:
        The first that fit, in an order in which the more common ones come first; None where none is found.
    """
    given = signature.strip()
    if (written := _written_as(given, computation.result())) is not None:
        return written
    changes = list(_telling_changes(key, computation))
    for change in changes:
        if (written := _written_as(given, change.apply(computation).result())) is not None:
            return (change.mistake, *written)
    for mistake, changed in _orders(computation):
        if _written_as(given, changed.result()) == ():
            return (mistake,)
    return _explain_by_two(given, computation, changes)


def _explain_by_two(given: str, computation: Computation, changes: Sequence[_Change]) -> tuple[Mistake, ...] | None:
    for one, other in combinations(changes, 2):
        if one.of != other.of and _written_as(given, other.apply(one.apply(computation)).result()) == ():
            return one.mistake, other.mistake
    return None


def wrong_signatures(key: ControlKey, computation: Computation) -> Iterator[tuple[Mistake, str]]:
    """Yield every single mistake that tells here, and the signature that it makes.

    Args:
        key: the endpoint's control key.
        computation: how the signature should be computed.
    """
    for change in _telling_changes(key, computation):
        yield change.mistake, change.apply(computation).result().hex().upper()
    for mistake, changed in _orders(computation):
        yield mistake, changed.result().hex().upper()
    digits = computation.result().hex().upper()
    written = {**_writings(bytes.fromhex(digits)), "written_separated": bytes.fromhex(digits).hex("-")}
    written["written_cut"] = digits[: _CUT.stop - 1]
    yield from ((Mistake(name), text) for name, text in written.items() if text != digits)


def _telling_changes(key: ControlKey, computation: Computation) -> Iterator[_Change]:
    """Yield the changes that make another signature than the right one and than each change before."""
    seen = {computation.result()}
    for change in _changes(key, computation):
        result = change.apply(computation).result()
        if result not in seen:
            seen.add(result)
            yield change


def _changes(key: ControlKey, computation: Computation) -> Iterator[_Change]:
    last, value = computation.parts[-1]
    if value == key.written:
        yield from _control_changes(key, last)
    else:
        yield from _key_changes(key)
        yield from _hash_changes(key)
    yield _replacing(Mistake("end_newline"), "end", end="\n")
    yield _replacing(Mistake("end_crlf"), "end", end="\r\n")
    for name, value in computation.parts:
        yield from _part_changes(name, str(value))
    for one, other in combinations(computation.names(), 2):
        yield _Change(Mistake("order_swapped", (one, other)), "order", _swapping(one, other))
    for separator in _SEPARATORS:
        yield _replacing(Mistake("separator", (json.dumps(separator),)), "separator", separator=separator)
    for name, encode in WRONG_ENCODINGS.items():
        yield _replacing(Mistake(f"encoding_{name}"), "encoding", encode=encode)


def _key_changes(key: ControlKey) -> Iterator[_Change]:
    bare = key.written.replace("-", "")
    texts = {
        "key_text": key.written,
        "key_text_bare": bare,
        "key_text_upper": key.written.upper(),
        "key_text_lower": key.written.lower(),
        "key_text_bare_upper": bare.upper(),
        "key_text_bare_lower": bare.lower(),
    }
    for name, text in texts.items():
        yield _replacing(Mistake(name), "key", key=text.encode())
    before_dash = key.written.partition("-")[0]
    yield _replacing(Mistake("key_until_dash"), "key", key=bytes.fromhex(before_dash[: len(before_dash) // 2 * 2]))
    if len(key.bytes) == _UUID_BYTES:
        yield _replacing(Mistake("key_guid"), "key", key=UUID(bytes=key.bytes).bytes_le)
    yield _replacing(Mistake("key_empty"), "key", key=b"")


def _hash_changes(key: ControlKey) -> Iterator[_Change]:
    written = key.written.encode()
    digests: dict[str, Digest] = {
        "hash_sha256": hmac_digest("sha256"),
        "hash_sha256_cut": cut_digest(hmac_digest("sha256")),
        "hash_sha512": hmac_digest("sha512"),
        "hash_sha512_cut": cut_digest(hmac_digest("sha512")),
        "plain_key_after": lambda _, message: hashlib.sha1(message + written, usedforsecurity=False).digest(),
        "plain_key_before": lambda _, message: hashlib.sha1(written + message, usedforsecurity=False).digest(),
        "plain_without_key": plain_digest("sha1"),
        "arguments_swapped": lambda used, message: hmac.digest(message, used, "sha1"),
    }
    for name, digest in digests.items():
        yield _replacing(Mistake(name), "hash", digest=digest)


def _control_changes(key: ControlKey, name: str) -> Iterator[_Change]:
    yield _replacing(Mistake("control_sha256"), "hash", digest=plain_digest("sha256"))
    yield _replacing(Mistake("control_sha256_cut"), "hash", digest=cut_digest(plain_digest("sha256")))
    for mistake, used in (("control_hmac", key.bytes), ("control_hmac_text", key.written.encode())):
        yield _Change(Mistake(mistake), "hash", _as_hmac(used, name))
    yield _Change(Mistake("control_key_bytes"), name, _setting(name, key.bytes))


def _as_hmac(key: bytes, key_name: str) -> Callable[[Computation], Computation]:
    def apply(computation: Computation) -> Computation:
        parts = tuple(part for part in computation.parts if part[0] != key_name)
        return replace(computation, parts=parts, key=key, digest=hmac_digest("sha1"))

    return apply


def _part_changes(name: str, value: str) -> Iterator[_Change]:
    if name == AMOUNT and value.isdecimal():
        for mistake, amount in _amounts(value).items():
            yield _Change(Mistake(mistake), name, _setting(name, amount))
    yield _Change(Mistake("part_missing", (name,)), name, _leaving_out(name))
    wrong = {
        "part_lower": value.lower(),
        "part_upper": value.upper(),
        "part_bare": value.replace("-", ""),
        "part_trimmed": value.strip(),
        "part_newline": f"{value}\n",
        "part_quoted": f'"{value}"',
        "part_url_encoded": quote(value, safe=_UNRESERVED),
        "part_json_escaped": json.dumps(value)[1:-1],
        "part_composed": unicodedata.normalize("NFC", value),
        "part_decomposed": unicodedata.normalize("NFD", value),
    }
    for mistake, changed in wrong.items():
        yield _Change(Mistake(mistake, (name,)), name, _setting(name, changed))


def _amounts(centis: str) -> Mapping[str, str]:
    digits = centis.rjust(3, "0")
    major = f"{digits[:-2]}.{digits[-2:]}"
    return {
        "amount_major": major,
        "amount_major_bare": major.rstrip("0").rstrip("."),
        "amount_comma": major.replace(".", ","),
        "amount_decimals": f"{centis}.00",
        "amount_float": f"{centis}.0",
        "amount_hundredfold": f"{centis}00",
    }


def _orders(computation: Computation) -> Iterator[tuple[Mistake, Computation]]:
    """Yield every other order of the parts, but for those in which two have changed places."""
    for parts in permutations(computation.parts):
        moved = sum(one != other for one, other in zip(parts, computation.parts, strict=True))
        if moved > 2:
            yield (
                Mistake("order_other", (", ".join(name for name, _ in parts),)),
                replace(computation, parts=parts),
            )


def _replacing(mistake: Mistake, of: str, **values: object) -> _Change:
    return _Change(mistake, of, lambda computation: replace(computation, **values))  # type: ignore[arg-type]


def _setting(name: str, value: Value) -> Callable[[Computation], Computation]:
    def apply(computation: Computation) -> Computation:
        parts = tuple((each, value if each == name else kept) for each, kept in computation.parts)
        return replace(computation, parts=parts)

    return apply


def _leaving_out(name: str) -> Callable[[Computation], Computation]:
    return lambda computation: replace(computation, parts=tuple(part for part in computation.parts if part[0] != name))


def _swapping(one: str, other: str) -> Callable[[Computation], Computation]:
    def apply(computation: Computation) -> Computation:
        parts = dict(computation.parts)
        if one not in parts or other not in parts:
            return computation
        exchanged = {one: other, other: one}
        names = [exchanged.get(name, name) for name in computation.names()]
        return replace(computation, parts=tuple((name, parts[name]) for name in names))

    return apply


def _written_as(given: str, digest: bytes) -> tuple[Mistake, ...] | None:
    """Return how a digest was written: rightly, wrongly, or not at all in this way."""
    right = digest.hex().upper()
    if given.upper() == right:
        return ()
    for name, text in _writings(digest).items():
        if text in {given, given.upper()}:
            return (Mistake(name),)
    if re.sub(r"[-:\s]", "", given).upper() == right:
        return (Mistake("written_separated"),)
    if len(given) in _CUT and right.startswith(given.upper()):
        return (Mistake("written_cut"),)
    return None


def _writings(digest: bytes) -> Mapping[str, str]:
    """Return the wrong ways to write a digest; what is hexadecimal in them is in upper case."""
    digits = digest.hex().upper()
    return {
        "written_base64": base64.b64encode(digest).decode(),
        "written_base64url": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "written_base64_of_hex": base64.b64encode(digits.encode()).decode(),
        "written_unpadded": "".join(f"{byte:X}" for byte in digest),
        "written_without_zeros": digits.lstrip("0"),
    }
