"""What an expression of PromQL is made of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import promql_parser

VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$provider": ".*"}
"""Of the dashboard, and what they can be."""


class Selector(NamedTuple):
    """A metric as an expression names it."""

    name: str
    labels: frozenset[str]


class Expression:
    """A parsed one.

    Args:
        text: with the variables of the dashboard.
    """

    def __init__(self, text: str) -> None:
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        self.text = text
        self._parts = [*_parts(promql_parser.parse(text))]

    def selectors(self) -> set[Selector]:
        """Return the metrics in it."""
        found = [part for part in self._parts if isinstance(part, promql_parser.VectorSelector)]
        return {Selector(str(each.name), frozenset(m.name for m in each.matchers.matchers)) for each in found}

    def grouping(self) -> set[str]:
        """Return the labels by which it adds up."""
        modifiers = [getattr(part, "modifier", None) for part in self._parts]
        return {label for modifier in modifiers for label in getattr(modifier, "labels", None) or ()}


def _parts(part: Any) -> Iterator[Any]:
    yield part
    for name in ("lhs", "rhs", "expr", "args", "vector_selector"):
        inner = getattr(part, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None and not isinstance(each, str):
                yield from _parts(each)
