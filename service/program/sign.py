"""`sign`: what is signed, part by part, and what comes out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from gateway.pages.signature_words import KINDS
from service.program.control_keys import SigningKeys, find_signing_keys
from service.program.signature_options import ENDPOINT, add_commands, argument_of, parts_of
from service.signing import callback_control, check_signature, notification_signature, session_signature

_SIGNERS: Mapping[str, Callable[..., str]] = {
    "session": session_signature,
    "check": check_signature,
    "notification": notification_signature,
    "callback": callback_control,
}
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan")


@click.group()
def sign() -> None:
    """Print the string to sign, part by part, and its signature.

    The signature goes to standard output, what it is made of to standard error.
    """


def _sign(kind_name: str, control_key_file: Path | None, config: Path | None, *, dev: bool, **values: Any) -> None:
    kind = KINDS[kind_name]
    signing = find_signing_keys(control_key_file, config, values.get(ENDPOINT), dev=dev)
    signature = _signature(kind_name, signing, values)
    told = Console(stderr=True, soft_wrap=True, highlight=False)
    told.print("Parts, in the order in which they are signed:")
    parts = parts_of(kind, values)
    for colour, (path, value) in zip(_COLOURS, parts, strict=False):
        told.print(Text.assemble("  ", (f"{path:38}", "dim"), (value, colour) if value else ("left out", "dim")))
    if kind.key:
        told.print(Text.assemble("  ", (f"{kind.key:38}", "dim"), ("the control key as it is written", "dim")))
    joined = Text.assemble(*((value, colour) for colour, (_, value) in zip(_COLOURS, parts, strict=False)))
    told.print(f"String to sign, {len(joined.plain.encode())} bytes in UTF-8{', without the key' if kind.key else ''}:")
    told.print(Text("  ") + joined)
    told.print(f"{kind.title}:")
    click.echo(signature)


def _signature(kind_name: str, signing: SigningKeys, values: Mapping[str, Any]) -> str:
    kind = KINDS[kind_name]
    said = {name: values[name] or "" for name in map(argument_of, kind.parts)}
    signature = _SIGNERS[kind_name](signing.keys[0], **said)
    return signature.lower() if signing.is_lower else signature


add_commands(sign, _sign)
