"""How a simulation is told: to people on a terminal, or to a program line by line."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from typing import Any, Protocol, TextIO, cast

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from gateway.parties.receiving import printable
from gateway.simulation.figures import Figures
from gateway.simulation.masks import masked, masked_number
from gateway.simulation.sales import Outcome, Step, Terms

_STATUS = "sale status"


class Report(Protocol):
    """Tells what happens, as it happens."""

    def begin(self, terms: Terms, count: int, *, again: bool) -> None:
        """Tell what is going to be done.

        Args:
            terms: of each sale.
            count: how many.
            again: whether each is followed by one with the saved card.
        """

    def step(self, step: Step) -> None:
        """Tell of one exchange."""

    def outcome(self, outcome: Outcome) -> None:
        """Tell how a sale ended."""

    def end(self, figures: Figures) -> None:
        """Tell the figures of all sales."""


class LineReport:
    """One JSON object a line.

    Args:
        stream: takes them.
        shows_secrets: see `masked`.
    """

    def __init__(self, stream: TextIOBase, *, shows_secrets: bool) -> None:
        self._stream = stream
        self._shows_secrets = shows_secrets

    def begin(self, terms: Terms, count: int, *, again: bool) -> None:
        """See `Report`."""
        self._write(
            "begin",
            card=terms.card.name,
            number=masked_number(terms.card.number),
            amountCentis=terms.amount_centis,
            currency=terms.currency,
            count=count,
            again=again,
            promise=terms.promise,
        )

    def step(self, step: Step) -> None:
        """See `Report`."""
        exchange = step.exchange
        self._write(
            "step",
            sale=step.sale,
            step=step.name,
            method=exchange.method,
            url=exchange.url,
            request=masked(exchange.request, shows_secrets=self._shows_secrets),
            status=exchange.status,
            answer=masked(exchange.answer, shows_secrets=self._shows_secrets),
            milliseconds=round(exchange.seconds * 1000, 3),
        )

    def outcome(self, outcome: Outcome) -> None:
        """See `Report`."""
        self._write(
            "sale",
            sale=outcome.sale,
            ended=outcome.ended,
            promise=outcome.promise,
            asPromised=outcome.is_as_promised,
            fault=outcome.fault or None,
            invoiceId=outcome.invoice_id or None,
            clientCardId=outcome.client_card_id or None,
            milliseconds=round(outcome.seconds * 1000, 3),
        )

    def end(self, figures: Figures) -> None:
        """See `Report`."""
        self._write(
            "end",
            ended=dict(figures.ended),
            faults=dict(figures.faults),
            milliseconds={
                each.step: {"count": each.times, "p50": round(each.p50, 3), "p95": round(each.p95, 3)}
                for each in figures.durations()
            },
        )

    def _write(self, event: str, **members: Any) -> None:
        given = {name: value for name, value in members.items() if value is not None}
        self._stream.write(json.dumps({"event": event, **given}) + "\n")
        self._stream.flush()


class TerminalReport:
    """For people: each step of one sale, or a bar and a table of many; in colour where the terminal has any.

    Args:
        stream: takes it.
        shows_secrets: see `masked`.
    """

    def __init__(self, stream: TextIOBase, *, shows_secrets: bool) -> None:
        self._console = Console(file=cast(TextIO, stream), highlight=False, soft_wrap=True)
        self._shows_secrets = shows_secrets
        self._json = JSONHighlighter()
        self._shown: dict[int, str] = {}
        """The state that was told last, by sale."""
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    def begin(self, terms: Terms, count: int, *, again: bool) -> None:
        """See `Report`."""
        card, amount = terms.card, f"{terms.amount_centis // 100}.{terms.amount_centis % 100:02d} {terms.currency}"
        what = f"{amount} by card {card.name}, {masked_number(card.number)}: {card.does}"
        self._console.print(f"[bold]{escape(what)}[/]")
        if count > 1:
            self._progress = Progress(console=self._console, disable=not self._console.is_terminal)
            self._progress.start()
            self._bar = self._progress.add_task("sales", total=count * (1 + again))

    def step(self, step: Step) -> None:
        """See `Report`."""
        if self._progress is not None or self._is_told(step):
            return
        exchange = step.exchange
        colour = "green" if exchange.status < 400 else "red"
        self._console.print(
            f"\n[bold cyan]{step.name}[/]  {exchange.method} {_shown(exchange.url)}  [{colour}]{exchange.status}[/]"
            f"  [dim]{exchange.seconds * 1000:.1f} ms[/]"
        )
        for mark, document in (("→", exchange.request), ("←", exchange.answer)):
            if document:
                shown = json.dumps(masked(document, shows_secrets=self._shows_secrets), ensure_ascii=False)
                self._console.print(f"  [dim]{mark}[/]", self._json(printable(shown)))

    def outcome(self, outcome: Outcome) -> None:
        """See `Report`."""
        if self._progress is not None and self._bar is not None:
            self._progress.advance(self._bar)
            return
        mark = "[bold green]✓[/]" if outcome.is_as_promised else "[bold red]✗[/]"
        words = "as the card promises" if outcome.is_as_promised else outcome.fault
        saved = f", card saved as {outcome.client_card_id}" if outcome.client_card_id else ""
        self._console.print(f"\n{mark} [bold]{_shown(outcome.ended)}[/], {_shown(words + saved)}")

    def end(self, figures: Figures) -> None:
        """See `Report`."""
        if self._progress is None:
            return
        self._progress.stop()
        ended = Table("ended", "sales")
        for name, count in figures.ended.most_common():
            ended.add_row(_shown(name), str(count))
        steps = Table("step", "count", "p50 ms", "p95 ms")
        for each in figures.durations():
            steps.add_row(each.step, str(each.times), f"{each.p50:.1f}", f"{each.p95:.1f}")
        self._console.print(ended, steps)
        for fault, count in figures.faults.most_common(5):
            self._console.print(f"[red]{count} not as promised:[/] {_shown(fault)}")

    def _is_told(self, step: Step) -> bool:
        """Whether a status is the one that was told before."""
        answer = step.exchange.answer
        state = str(answer.get("state")) if step.name == _STATUS and isinstance(answer, dict) else step.name
        before, self._shown[step.sale] = self._shown.get(step.sale), state
        return step.name == _STATUS and state == before


def _shown(text: str) -> str:
    # What a server has sent must not steer a terminal.
    return escape(printable(text))


def report_of(*, as_json: bool, shows_secrets: bool) -> Report:
    """Return what writes to standard output, for as long as somebody reads that."""
    kind = LineReport if as_json else TerminalReport
    return kind(_WhileRead(sys.stdout), shows_secrets=shows_secrets)


class _WhileRead(TextIOBase):
    """A stream that goes nowhere once nobody reads it: sales that were begun are gone through to their end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read only, which is all that is needed
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
