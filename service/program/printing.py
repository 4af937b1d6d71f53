"""What commands print: a table for people, whole lines for programs."""

import re
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC
from typing import Any

import click
import orjson
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from gateway.json_codec import JsonCodec
from service.program.terminal_tables import terminal_table

_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]")
_CENTIS = 100

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with the proto's names.")


def print_json(message: Message, **more: Any) -> None:
    """Print a message as a line of JSON, with what else is given before its members."""
    click.echo(orjson.dumps({**more, **JsonCodec(type(message)).to_object(message)}).decode())


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], goes_first: Collection[str] = ()) -> None:
    """Print rows: with lines and colours on a terminal, otherwise as plain text whose columns are aligned.

    Args:
        head: of the columns.
        rows: their texts.
        goes_first: heads of the columns that a terminal without room for them may leave out, the least one first.
    """
    cells = [[_printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        for row in [head, *cells]:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    fitting = terminal_table(head, cells, goes_first, Console().width)
    Console(width=fitting.width).print(fitting.table)
    if fitting.left_out:
        click.echo(f"\nNo room for: {', '.join(fitting.left_out)}. A wider terminal has it, and so has --json.")


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each; what is empty is left out."""
    shown = [(name, _printable(value)) for name, value in fields if value]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def _printable(text: str) -> str:
    # What an app or a payment gateway has sent must not steer a terminal.
    return _UNPRINTABLE.sub("?", text)


def time_text(time: Timestamp) -> str:
    """Return a time in UTC to the millisecond."""
    return time.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def amount_text(centis: int, currency: str) -> str:
    """Return an amount in major units with its currency, as in `10.42 EUR`."""
    return f"{centis // _CENTIS}.{centis % _CENTIS:02} {currency}".rstrip()


def enum_text(enum: Any, value: int) -> str:
    """Return the name of a value without what all of its kind begin with, as in `APPROVED`."""
    descriptor = enum.DESCRIPTOR
    known = descriptor.values_by_number.get(value)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", descriptor.name).upper()
    return str(value) if known is None else known.name.removeprefix(f"{prefix}_")
