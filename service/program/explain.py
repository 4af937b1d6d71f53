"""`explain`: whether a signature is right, and if not, what is wrong with it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from gateway.pages.signature_words import KINDS, MISTAKES, VERDICTS
from gateway.program.settings import ConfigurationError
from service.program.control_keys import find_signing_keys
from service.program.signature_options import ENDPOINT, add_commands, parts_of
from service.signature_computations import Computation, control_computation, hmac_computation
from service.signature_mistakes import Mistake
from service.signature_mistakes import explain as find_mistakes
from service.signing import ControlKey

_SIGNATURE = re.compile("[0-9A-Fa-f]{40}")


@click.group()
def explain() -> None:
    """Tell whether a signature is right, and if not, which common mistake makes it.

    Exit code 0: it is right. 1: it is not. 2: a wrong option, or no signature at all.
    """


def _explain(
    kind_name: str, signature: str, control_key_file: Path | None, config: Path | None, *, dev: bool, **values: Any
) -> None:
    signing = find_signing_keys(control_key_file, config, values.get(ENDPOINT), dev=dev)
    attempts = [find_mistakes(signature, key, _computation(kind_name, key, values)) for key in signing.keys]
    found = min((attempt for attempt in attempts if attempt is not None), key=len, default=None)
    # Only now, for a signature that is written wrongly is no such thing either, and is explained.
    if found is None and not _SIGNATURE.fullmatch(signature.strip()):
        raise ConfigurationError(f"SIGNATURE: {VERDICTS['none']}")
    console = Console(soft_wrap=True, highlight=False)
    if found == ():
        console.print(Text(VERDICTS["right"], "green"))
        return
    console.print(Text(VERDICTS["wrong"], "red"))
    for line in [VERDICTS["unknown"]] if found is None else map(words_of, found):
        console.print(Text(line))
    raise SystemExit(1)


def words_of(mistake: Mistake) -> str:
    """Return a mistake in words."""
    return MISTAKES[mistake.id].format(*mistake.details)


def _computation(kind_name: str, key: ControlKey, values: Mapping[str, Any]) -> Computation:
    kind = KINDS[kind_name]
    parts = parts_of(kind, values)
    return control_computation(key, parts, kind.key) if kind.key else hmac_computation(key, parts)


add_commands(explain, _explain, [click.Argument(["signature"])])
