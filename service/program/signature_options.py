"""The signatures of the contract as commands of a group, with an option for each part."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from gateway.pages.signature_words import KINDS, SignatureKind
from gateway.program.options import one_line_errors
from service.program.control_keys import control_key_options

_NUMBER = "amount_centis"
ENDPOINT = "endpoint_id"
"""Tells, beside what is signed, whose control key it is."""


def parts_of(kind: SignatureKind, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the JSON path and the value of every part, in their order; empty where one was left out.

    Args:
        kind: of the signature.
        values: of the options, by their names.
    """
    return [(path, str(values[argument_of(path)] or "")) for path in kind.parts]


def argument_of(path: str) -> str:
    """Return the name of a part as Python has it: `session.accessToken` is `access_token`."""
    return re.sub("([A-Z])", r"_\1", path.rpartition(".")[2]).lower()


def add_commands(group: click.Group, run: Callable[..., None], arguments: Sequence[click.Parameter] = ()) -> None:
    """Add a command for each signature.

    Args:
        group: what they are added to.
        run: takes the name of the signature, then what the options say.
        arguments: which they have besides.
    """
    for name, kind in KINDS.items():
        command = click.Command(
            name,
            callback=one_line_errors(partial(run, name)),
            params=[*arguments, *_options(kind)],
            help=f"{kind.title}, {kind.told}.",
        )
        control_key_options(command)
        group.add_command(command)


def _options(kind: SignatureKind) -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for path in kind.parts:
        name = argument_of(path)
        options.append(
            click.Option(
                [f"--{name.replace('_', '-')}", name],
                required=path not in kind.optional,
                type=click.INT if name == _NUMBER else click.STRING,
                metavar="INTEGER" if name == _NUMBER else "TEXT",
                help=path,
            )
        )
    if ENDPOINT not in map(argument_of, kind.parts):
        options.append(click.Option(["--endpoint-id"], metavar="TEXT", help="Whose control key of --config it is."))
    return options
