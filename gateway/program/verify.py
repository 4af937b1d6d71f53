"""The command `sale-gateway verify`: whether anybody's Connecting Party server holds what it must."""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console

from gateway.conformance.catalogue import UnknownName, chosen
from gateway.conformance.documents import member_of
from gateway.conformance.exchanges import Request
from gateway.conformance.report import as_document, as_entry, console_for, print_list, print_report, summary
from gateway.conformance.requirements import Requirement
from gateway.conformance.runner import Finding, Runner, holds
from gateway.conformance.trade import Terms
from gateway.conformance.wire import Tls, Wire

_NAMES = "Ids, groups or patterns such as 'check.tampered-*'; may be repeated."


class _NotReachable(click.ClickException):
    exit_code = 2


@click.command()
@click.option("--target", metavar="URL", help="The server: where the app opens sales.")
@click.option("--payment-gateway-url", metavar="URL", help="Where check, notification and callback are, if elsewhere.")
@click.option(
    "--control-key",
    envvar="SALE_CONTROL_KEY",
    metavar="KEY",
    help="Control key of the endpoint that takes the currency. Better in SALE_CONTROL_KEY, or in a file: other users"
    " see it in the list of processes.",
)
@click.option(
    "--control-key-file", type=click.Path(path_type=Path, dir_okay=False), help="File with that key in its first line."
)
@click.option(
    "--access-token",
    "access_tokens",
    multiple=True,
    metavar="TOKEN",
    help="Where the server gives none out; twice: of two consumers.",
)
@click.option("--currency", default="EUR", show_default=True, help="Of the sales that are opened.")
@click.option(
    "--amount", type=click.IntRange(min=1), default=1042, show_default=True, metavar="CENTIS", help="Of them."
)
@click.option(
    "--ca", type=click.Path(path_type=Path, dir_okay=False), help="Certificates of the authorities to trust, as PEM."
)
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--cert", type=click.Path(path_type=Path, dir_okay=False), help="Certificate to show the server, as PEM.")
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="Its private key, if it is in another file."
)
@click.option("--only", multiple=True, metavar="NAME", help=f"Test nothing else. {_NAMES}")
@click.option("--skip", multiple=True, metavar="NAME", help=f"Leave out. {_NAMES}")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
@click.option("--strict", is_flag=True, help="Let what SHOULD hold count for the exit code too.")
@click.option("--no-skips", is_flag=True, help="Let what was skipped count for the exit code too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--list", "only_list", is_flag=True, help="Print what is tested, and test nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Tell sources and times, and every fault with its answer in full.")
def verify(
    target: str | None,
    control_key_file: Path | None,
    only: Sequence[str],
    skip: Sequence[str],
    *,
    as_json: bool,
    only_list: bool,
    strict: bool,
    no_skips: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Test a Connecting Party's server, whoever wrote it.

    Plays the consumer's app and the payment gateway against it: opens about two hundred sales, so take one for
    tests. Tells what holds, and for the rest a line of curl that shows it. What MUST hold is in the documents or needed
    by payment gateways and apps; what SHOULD hold another server could choose otherwise.

    Exit code 0: all that MUST holds, or was skipped. 1: something does not. 2: wrong options, or the server can't be
    reached.
    """
    try:
        requirements = chosen(only, skip)
    except UnknownName as error:
        raise click.UsageError(f"nothing is named {error}; --list shows all names") from None
    if only_list:
        _print_list(requirements, as_json=as_json)
        return
    terms = _terms(target, _control_key(options["control_key"], control_key_file), options)
    tls = Tls(options["ca"], options["insecure"], options["cert"], options["key"])
    began = time.monotonic()
    findings = asyncio.run(_run(terms, tls, options["timeout"], requirements))
    seconds = time.monotonic() - began
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal need not know Cyrillic
    if as_json:
        click.echo(_document(terms, findings, tls, strict=strict, no_skips=no_skips, seconds=seconds))
    else:
        last = summary(findings, strict=strict, no_skips=no_skips, seconds=seconds)
        print_report(console_for(), findings, tls, verbose=verbose, last=last)
    sys.exit(0 if holds(findings, strict=strict, no_skips=no_skips) else 1)


def _terms(target: str | None, control_key: str | None, options: Mapping[str, Any]) -> Terms:
    return Terms(
        _url("--target", target),
        _url("--payment-gateway-url", options["payment_gateway_url"] or target),
        options["currency"],
        options["amount"],
        control_key,
        options["access_tokens"],
    )


def _print_list(requirements: Sequence[Requirement], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([as_entry(each) for each in requirements], indent=2, ensure_ascii=False))
    else:
        print_list(console_for(), requirements)


def _control_key(given: str | None, file: Path | None) -> str | None:
    if file is not None:
        try:
            given = file.read_text().strip().splitlines()[0]
        except (OSError, IndexError, UnicodeDecodeError):
            raise click.UsageError(
                f"--control-key-file: {file} has to be a readable file with the key in its first line"
            ) from None
    if given is None:
        return None
    try:
        bytes.fromhex(given.replace("-", ""))
    except ValueError:
        raise click.UsageError(
            "--control-key: has to be pairs of hexadecimal digits, with dashes as the provider writes it"
        ) from None
    return given


def _url(option: str, url: str | None) -> str:
    if url is None:
        raise click.UsageError("--target is missing: give the URL of the server, such as http://127.0.0.1:8080")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise click.UsageError(
            f"{option}: {url} has to be a URL such as https://sale.example.com or http://127.0.0.1:8080"
        )
    return url.rstrip("/")


async def _run(terms: Terms, tls: Tls, timeout_seconds: float, requirements: Sequence[Requirement]) -> list[Finding]:
    try:
        context = tls.context()
    except (OSError, ssl.SSLError) as error:
        raise click.UsageError(f"--ca, --cert or --key: {error}") from None
    async with Wire(context, timeout_seconds) as wire:
        await _require_reached(terms, wire)
        with _Progress(console_for(stderr=True), len(requirements)) as progress:
            return await Runner(terms, wire, progress.advance).run(requirements)


async def _require_reached(terms: Terms, wire: Wire) -> None:
    for url in (terms.payment_gateway_url, terms.target):
        exchange = await wire.send(Request("GET", f"{url}/auth/request-access-token"))
        if exchange.failure:
            raise _NotReachable(f"{url}: {exchange.failure}. {_advice(exchange.failure.upper())}")
    if not terms.access_tokens and not member_of(exchange.document or {}, "session.accessToken"):
        raise _NotReachable(
            f"{exchange.request.url} gives out no session.accessToken: {exchange.told()}. Give --access-token, as the "
            "login of that server issues it, or the URL under which it serves these paths."
        )


def _advice(failure: str) -> str:
    if "CERTIFICATE_VERIFY" in failure:
        return "Give the authority that signed its certificate with --ca FILE, or --insecure."
    if "SSL" in failure:
        return "Does it speak TLS? Try http:// or https://; a server that asks for a certificate needs --cert."
    return "Is the server running, and is that its address?"


class _Progress:
    """Tells on a terminal how many requirements are tested."""

    def __init__(self, console: Console, total: int) -> None:
        self._status = console.status("") if console.is_terminal else None
        self._done = 0
        self._total = total

    def __enter__(self) -> "_Progress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status is not None:
            self._status.stop()

    def advance(self, finding: Finding) -> None:
        """Tell of one more."""
        self._done += 1
        if self._status is not None:
            self._status.update(f"{self._done} of {self._total}: {finding.requirement.id} {finding.verdict}")


def _document(
    terms: Terms, findings: Sequence[Finding], tls: Tls, *, strict: bool, no_skips: bool, seconds: float
) -> str:
    document = {
        "target": terms.target,
        "holds": holds(findings, strict=strict, no_skips=no_skips),
        "strict": strict,
        "noSkips": no_skips,
        "seconds": round(seconds, 3),
        "requirements": [as_document(finding, tls) for finding in findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
