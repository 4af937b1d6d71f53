"""Reading metrics as Prometheus does."""

from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.running import Program

Series = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """All samples of one moment.

    Args:
        text: what was answered.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values: dict[Series, float] = {}
        for family in self.families.values():
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                assert series not in self._values, series
                self._values[series] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one series."""
        return self._values[name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all series that have these labels."""
        wanted = labels.items()
        return sum(value for (known, has), value in self._values.items() if known == name and wanted <= has)

    def labels_of(self, name: str) -> set[str]:
        """Return the names of the labels that samples of this name have."""
        return {label for (known, has) in self._values if known == name for label, _ in has}

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self._values}


def scrape(program: Program) -> Scrape:
    """Read the metrics of a program that serves them."""
    response = httpx2.get(f"http://{program.metrics}/metrics", timeout=10.0)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scrape(response.text)


def values_by(scrape: Scrape, name: str, label: str) -> Mapping[str, float]:
    """Return what the series of a name add up to, by the values of a label."""
    values: dict[str, float] = {}
    for sample in (sample for family in scrape.families.values() for sample in family.samples):
        if sample.name == name:
            key = sample.labels[label]
            values[key] = values.get(key, 0.0) + sample.value
    return values
