"""Requests whose end can be told in several ways, by how they were made wrong on purpose."""

import random
from collections.abc import Sequence
from typing import Any

_SOUND = 0.7
"""How often a part of a request is as it should be."""
CANARY = "canary-"
"""Begins the X-Request-Id of a request that is inside of another one's body: nobody has sent it."""

_LENGTH_NAMES: tuple[str, ...] = ("Content-Length",) * 6 + (
    "content-length",
    "CONTENT-LENGTH",
    "Content-Length ",
    " Content-Length",
)
_LENGTH_NAMES += ("Content-Length\t", "Content-Length\x0b", "\x00Content-Length", "Content-Length\xa0")
_LENGTHS: tuple[str, ...] = ("{0}",) * 6 + (
    "+{0}",
    "0{0}",
    "{0}, {0}",
    "{0},0",
    "0x{0}",
    "{0} ",
    "\t{0}",
    "-{0}",
    "{0}\x0b",
    "{0};a",
    "",
)
_LENGTHS += ("{0}\r\n {0}", "1{0}", "99999999999999999999{0}", "{0}.0", "{0}e0", "\uff11")
_CODING_NAMES: tuple[str, ...] = ("Transfer-Encoding",) * 6 + (
    "transfer-encoding",
    "Transfer-Encoding ",
    "Transfer-Encoding\t",
)
_CODING_NAMES += ("TRANSFER-ENCODING", " Transfer-Encoding", "Transfer-Encoding\x0b")
_CODINGS: tuple[str, ...] = ("chunked",) * 6 + (
    "Chunked",
    " chunked",
    "\tchunked",
    "chunked ",
    "xchunked",
    "chunked, identity",
    "identity",
)
_CODINGS += (
    "gzip, chunked",
    "\x0bchunked",
    "chunked\x00",
    '"chunked"',
    "chunked;q=1",
    "\r\n chunked",
    "chunked\r\n\t,x",
    "",
)
_LINE_ENDS: tuple[str, ...] = ("\r\n",) * 12 + ("\n", "\r", "\r\r\n", "\n\r")
_SIZES: tuple[str, ...] = ("{0:x}",) * 6 + (
    "{0:X}",
    "0{0:x}",
    "{0:x};a=b",
    "{0:x} ",
    " {0:x}",
    "0x{0:x}",
    "+{0:x}",
    "{0:x};a=\n",
    "-1",
)
_SIZES += ("{0:x}\t;a", "f000000000000000{0:x}", "{0:x};\r", "{0:x}\x00", "{0:x}, 0")
_TARGETS: tuple[str, ...] = ("/sale/initiate-sale",) * 6 + (
    "http://a/sale/initiate-sale",
    "//a/sale/initiate-sale",
    "/sale/initiate-sale#a",
)
_TARGETS += ("*", "a:80", "/sale/initiate-sale HTTP/1.1\r\nX: a", "http://a:b/", "/sale/../sale/initiate-sale")
_VERSIONS: tuple[str, ...] = ("HTTP/1.1",) * 10 + (
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "http/1.1",
    "HTTP/0.9",
    "HTTP/1.1 ",
)
_METHODS: tuple[str, ...] = ("POST",) * 8 + ("GET", "HEAD", "PUT", "OPTIONS", "CONNECT", "post")
_BEFORE: tuple[str, ...] = ("",) * 10 + ("\r\n", "\n", "\r\n\r\n", " ", "\x00")


def framing(random_: random.Random, number: int) -> bytes:
    """Return a request with another one in its body, which must never be taken for a request of its own.

    Whatever tells the end of the body so that the other one is outside of it comes with something that forbids to
    believe it: a Transfer-Encoding beside it, or a header that is none.

    Args:
        random_: decides what is wrong with it.
        number: tells it from others.
    """

    def pick(options: Sequence[Any]) -> Any:
        # Faults come alone mostly: of many at once any is enough to be refused.
        return options[0] if random_.random() < _SOUND else random_.choice(options)

    inner = f"GET /auth/request-access-token HTTP/1.1\r\nHost: a\r\nX-Request-Id: {CANARY}{number}\r\n\r\n"
    end = pick(_LINE_ENDS)
    chunked = pick(_SIZES).format(len(inner)) + pick(_LINE_ENDS) + inner + pick(("\r\n",) * 6 + ("", "\n", "a\r\n"))
    chunked += pick(
        ("0\r\n\r\n",) * 6 + ("0\n\n", "00\r\n\r\n", "0;a\r\n\r\n", "0\r\nX-Request-Id: trailer\r\n\r\n", "")
    )
    headers = []
    kind = random_.choice(("length", "lengths", "chunked", "both", "both", "codings"))
    body = (
        inner
        if kind in ("length", "lengths")
        else random_.choice((chunked, "0\r\n\r\n" + inner))
        if kind == "both"
        else chunked
    )
    if kind not in ("chunked", "codings"):
        # Of the only one, no more than the body is told; beside another it may be anything.
        length = len(body) if kind == "length" else random_.choice((0, 4, len(body), len(chunked)))
        headers.append(pick(_LENGTH_NAMES) + ":" + pick(("", " ")) + pick(_LENGTHS).format(length))
    if kind == "lengths":
        headers.append(f"Content-Length: {len(body)}")
        headers.append(f"Content-Length: {random_.choice((0, 4, len(body)))}")
    if kind in ("chunked", "both", "codings"):
        headers.append(pick(_CODING_NAMES) + ": " + pick(_CODINGS))
    if kind == "codings":
        headers.append("Transfer-Encoding: " + pick(_CODINGS))
    headers += ["Host: a", "Content-Type: application/json", f"X-Request-Id: outer-{number}"]
    random_.shuffle(headers)
    line = f"{pick(_BEFORE)}{pick(_METHODS)} {pick(_TARGETS)} {pick(_VERSIONS)}"
    head = "".join(part + end for part in (line, *headers, ""))
    return (head + body).encode("latin-1", "replace")
