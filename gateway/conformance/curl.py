"""The command line that sends a request again."""

import re
import shlex
from collections.abc import Iterator

from gateway.conformance.exchanges import Request
from gateway.conformance.wire import Tls

_LONG = 2000
"""From so many bytes on, what repeats itself in a body is written as a loop."""
_REPEATED = re.compile(rb"(.{1,8}?)\1{199,}", re.DOTALL)


def curl_line(request: Request, tls: Tls) -> str:
    """Return a line for a shell that sends the request and shows the whole answer.

    Args:
        request: to send.
        tls: how the server is known.
    """
    words = ["curl", "-sS", "-i", *_tls_options(tls)]
    if request.method == "HEAD":
        words.append("-I")
    elif request.method != ("GET" if request.body is None else "POST"):
        words += ["-X", request.method]
    words.append(request.url)
    for name, value in request.headers:
        words += ["-H", f"{name}: {value}"]
    if request.body is not None and not any(name.lower() == "content-type" for name, _ in request.headers):
        words += ["-H", "Content-Type:"]  # curl would send one of a form
    if request.body is None:
        return shlex.join(words)
    text = _as_argument(request.body)
    if text is not None:
        return shlex.join([*words, "--data-binary", text])
    return f"{{ {' '.join(_printing(request.body))} }} | {shlex.join([*words, '--data-binary', '@-'])}"


def _tls_options(tls: Tls) -> Iterator[str]:
    if tls.insecure:
        yield "-k"
    elif tls.ca is not None:
        yield from ("--cacert", str(tls.ca))
    if tls.certificate is not None:
        yield from ("--cert", str(tls.certificate))
    if tls.key is not None:
        yield from ("--key", str(tls.key))


def _as_argument(body: bytes) -> str | None:
    """Return a body that a command line can hold; None if it can't."""
    if len(body) >= _LONG or body.startswith(b"@"):
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _printing(body: bytes) -> Iterator[str]:
    """Yield commands that print a body."""
    end = 0
    for match in _REPEATED.finditer(body):
        yield from _print_once(body[end : match.start()])
        unit, times = match[1], len(match[0]) // len(match[1])
        yield f"printf -- '{_escaped(unit)}%.0s' $(seq {times});"
        end = match.end()
    yield from _print_once(body[end:])


def _print_once(part: bytes) -> Iterator[str]:
    if part:
        yield f"printf -- '{_escaped(part)}';"


def _escaped(part: bytes) -> str:
    """Return bytes as the format of printf, to be put between single quotes."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\%'" else "%%" if byte == 0x25 else f"\\{byte:03o}"
        for byte in part
    )
