"""Tables for a terminal, which may be narrow: ids and times stay whole, and what matters least makes room for them."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

_COLOURS = {"APPROVED": "green", "OK": "green", "WARN": "yellow", "FAIL": "red", "DECLINED": "red", "FAILED": "red"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_GAP = 2
_NARROW = 8
"""Width that a column has at least where words have to be broken."""


class TerminalTable(NamedTuple):
    """What fits a terminal."""

    table: Table
    width: int
    """That it has; more than the terminal's where not even the ids fit."""
    left_out: Sequence[str]
    """Heads of the columns for which there is no room."""


class _Column(NamedTuple):
    head: str
    cells: Sequence[str]
    is_whole: bool
    """Whether its cells have to stay in one line, to be copied."""

    def longest_word(self) -> int:
        """Return how many characters it takes for no word to be broken."""
        if self.is_whole:
            return self.longest_text()
        return max(len(word) for text in (self.head, *self.cells) for word in text.split() or [""])

    def longest_text(self) -> int:
        """Return how many characters it takes for each text to have one line."""
        return max(map(len, (self.head, *self.cells)))


def terminal_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], goes_first: Collection[str], width: int
) -> TerminalTable:
    """Return rows as a table.

    Args:
        head: of the columns.
        rows: texts that can be printed.
        goes_first: heads of the columns that may be left out, the one that matters least first.
        width: of the terminal, in characters.
    """
    parts = zip(*rows, strict=True)
    columns = {name: _column(name, cells) for name, cells in zip(head, list(parts) or [()] * len(head), strict=True)}
    left_out = []
    for name in goes_first:
        if _width(columns.values()) <= width:
            break
        del columns[name]
        left_out.append(name)
    kept = list(columns.values())
    widths = _widths(kept, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column, room in zip(kept, widths, strict=True):
        table.add_column(column.head, width=room, overflow="fold")
    for row in zip(*(column.cells for column in kept), strict=True):
        table.add_row(*(Text(cell, style=_COLOURS.get(cell.partition(" ")[0], "")) for cell in row))
    return TerminalTable(table, sum(widths) + _gaps(kept), left_out)


def _column(head: str, cells: Sequence[str]) -> _Column:
    times = [_TIME.fullmatch(cell) for cell in cells]
    if cells and all(times):
        return _Column(f"{head} UTC", [f"{time[1]} {time[2]}" for time in times if time], is_whole=True)
    return _Column(head, cells, is_whole=head.endswith(" id"))


def _width(columns: Collection[_Column]) -> int:
    return sum(column.longest_word() for column in columns) + _gaps(columns)


def _gaps(columns: Collection[_Column]) -> int:
    return _GAP * (len(columns) - 1)


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Return how wide each column is: the narrowest of those whose texts need more gets what remains."""
    fits = _width(columns) <= width
    widths = [
        column.longest_word() if fits or column.is_whole else min(column.longest_word(), _NARROW) for column in columns
    ]
    wanted = [column.longest_text() for column in columns]
    for _ in range(width - _gaps(columns) - sum(widths)):
        wanting = [place for place, most in enumerate(wanted) if widths[place] < most]
        if not wanting:
            break
        widths[min(wanting, key=widths.__getitem__)] += 1
    return widths
