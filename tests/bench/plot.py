"""The results as a picture: throughput and latency of each contender over HTTP."""

import re
from collections.abc import Callable
from typing import Any

import pygal
from pygal.style import Style

from tests.bench.contenders import ECHO
from tests.bench.measuring import HttpRun
from tests.bench.results import Results, median

WIDTH, HEIGHT = 900, 440
# pygal's tooltips are a script, its advertisement a comment.
_UNWANTED = re.compile("<script.*?</script>|<!--.*?-->", re.DOTALL)
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

Http = dict[str, list[HttpRun]]


def plot(results: Results) -> str:
    """Return an SVG, without any script or address in it: one chart over the other."""
    # Its bar would be ten times as long as the others, which could not be told apart then.
    off_scale = f"; {ECHO}: {results.peak(ECHO):,.0f}" if ECHO in results.http else ""
    http = {name: runs for name, runs in results.http.items() if name != ECHO} or results.http
    peak = _chart(f"Requests per second at the peak (more is better{off_scale})", http, "{:,.0f}", show_legend=False)
    peak.add("requests/s", _figures(http, lambda run: run.peak.requests_per_second))
    latency = _chart("Milliseconds at half of the peak (less is better)", http, "{:,.1f}")
    latency.add("p50", _figures(http, lambda run: run.half.latency_ms.p50))
    latency.add("p99", _figures(http, lambda run: run.half.latency_ms.p99))
    charts = (
        f'<svg y="{number * HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{_UNWANTED.sub("", svg)}</svg>'
        for number, svg in enumerate(chart.render(is_unicode=True) for chart in (peak, latency))
    )
    size = f'width="{WIDTH}" height="{2 * HEIGHT}" viewBox="0 0 {WIDTH} {2 * HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(charts)}</svg>\n'


def _chart(title: str, http: Http, value: str, *, show_legend: bool = True) -> Any:
    chart = pygal.HorizontalBar(
        width=WIDTH,
        height=HEIGHT,
        title=title,
        style=_STYLE,
        js=(),  # another script, from elsewhere
        disable_xml_declaration=True,
        print_values=True,
        print_values_position="center",
        value_formatter=value.format,
        show_legend=show_legend,
        legend_at_bottom=True,
        truncate_label=-1,
        margin_right=60,
    )
    chart.x_labels = list(reversed(http))  # it draws from the bottom up
    return chart


def _figures(http: Http, figure: Callable[[HttpRun], float]) -> list[float]:
    return [median(runs, figure) for runs in reversed(http.values())]
