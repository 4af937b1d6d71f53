"""Tables in Markdown."""

from collections.abc import Iterator


def head(first: str, *others: str) -> Iterator[str]:
    """Return the lines above the rows: names on the left, figures on the right."""
    yield row(first, *others)
    yield row("---", *("---:" for _ in others))


def row(*cells: str) -> str:
    """Return one line."""
    return f"| {' | '.join(cells)} |"
