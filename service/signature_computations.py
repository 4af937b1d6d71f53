"""How signatures are computed, rightly and wrongly. Pure functions of strings and keys."""

import codecs
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.signing import ControlKey

Value = str | bytes
Parts = Sequence[tuple[str, Value]]
"""What is signed: the JSON path of each part, and its value. A control key that is decoded is bytes."""
Digest = Callable[[bytes, bytes], bytes]
"""Takes the key and the message."""


@dataclass(frozen=True, slots=True)
class Computation:
    """A way to compute a signature."""

    parts: tuple[tuple[str, Value], ...]
    key: bytes
    digest: Digest
    encode: Callable[[str], bytes] = str.encode
    separator: str = ""
    end: str = ""

    def result(self) -> bytes:
        """Return what it comes to."""
        encoded = [value if isinstance(value, bytes) else self.encode(value) for _, value in self.parts]
        return self.digest(self.key, self.encode(self.separator).join(encoded) + self.encode(self.end))

    def names(self) -> tuple[str, ...]:
        """Return the names of the parts in their order."""
        return tuple(name for name, _ in self.parts)


def hmac_computation(key: ControlKey, parts: Parts) -> Computation:
    """Return how a signature is computed that is an HMAC.

    Args:
        key: the endpoint's control key.
        parts: what is signed.
    """
    return Computation(tuple(parts), key.bytes, hmac_digest("sha1"))


def control_computation(key: ControlKey, parts: Parts, key_name: str) -> Computation:
    """Return how the `control` of a callback is computed.

    Args:
        key: the endpoint's control key.
        parts: what stands before it.
        key_name: what it is called among the parts, of which it is the last one.
    """
    return Computation((*parts, (key_name, key.written)), key.bytes, plain_digest("sha1"))


def hmac_digest(hash_name: str) -> Digest:
    """Return an HMAC as `hashlib` names its hash."""
    return lambda key, message: hmac.digest(key, message, hash_name)


def plain_digest(hash_name: str) -> Digest:
    """Return a hash as `hashlib` names it, which leaves the key alone."""
    return lambda _, message: hashlib.new(hash_name, message, usedforsecurity=False).digest()


def cut_digest(digest: Digest) -> Digest:
    """Return what is left of a digest where there is room for a SHA-1."""
    return lambda key, message: digest(key, message)[:20]


WRONG_ENCODINGS: Mapping[str, Callable[[str], bytes]] = {
    "latin1": lambda text: text.encode("latin-1", "replace"),
    "ascii": lambda text: text.encode("ascii", "replace"),
    "cp1251": lambda text: codecs.encode(text, "cp1251", "replace"),
    "utf16le": lambda text: text.encode("utf-16-le"),
    "utf16be": lambda text: text.encode("utf-16-be"),
    "twice": lambda text: text.encode().decode("latin-1").encode(),
}
"""Other than UTF-8, by the names that their mistakes have."""
