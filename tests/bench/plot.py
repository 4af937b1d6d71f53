"""The results as a picture: throughput and latency of each contender over HTTP."""

from collections.abc import Callable
from typing import Any

import pygal
from pygal.style import Style

from tests.bench.measuring import HttpRun
from tests.bench.results import Results, median

WIDTH, HEIGHT = 900, 440
_STYLE = Style(
    background="white",
    plot_background="white",
    font_family="sans-serif",
    title_font_size=18,
    label_font_size=14,
    major_label_font_size=14,
    legend_font_size=14,
    value_font_size=13,
    colors=("#1f6f8b", "#e08e45", "#99582a"),
)


def plot(results: Results) -> str:
    """Return an SVG, without any script or address in it: one chart over the other."""
    peak = _chart("Throughput at the peak, requests a second (more is better)", results, show_legend=False)
    peak.add("requests/s", _figures(results, lambda run: round(run.peak.requests_per_second)))
    latency = _chart("Latency at half of the peak, ms (less is better)", results)
    latency.add("p50", _figures(results, lambda run: round(run.half.latency_ms.p50, 2)))
    latency.add("p99", _figures(results, lambda run: round(run.half.latency_ms.p99, 2)))
    charts = (
        f'<svg y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{chart.render(is_unicode=True)}</svg>'
        for number, chart in enumerate((peak, latency))
    )
    size = f'width="{WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {WIDTH} {2 * HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(charts)}</svg>\n'


def _chart(title: str, results: Results, *, show_legend: bool = True) -> Any:
    chart = pygal.HorizontalBar(
        width=WIDTH,
        height=HEIGHT,
        title=title,
        style=_STYLE,
        js=(),  # its tooltips would load a script from elsewhere
        disable_xml_declaration=True,
        print_values=True,
        print_values_position="top",
        show_legend=show_legend,
        legend_at_bottom=True,
        truncate_label=-1,
        margin_right=60,
    )
    chart.x_labels = list(reversed(results.http))  # it draws from the bottom up
    return chart


def _figures(results: Results, figure: Callable[[HttpRun], float]) -> list[float]:
    return [median(runs, figure) for runs in reversed(results.http.values())]
