"""The results as tables in Markdown."""

from collections.abc import Callable, Iterator, Sequence

from tests.bench.contenders import ECHO, EMPTY_RPC, ENVOY, FASTAPI, TWO_WORKERS
from tests.bench.load import CONNECTIONS, Load
from tests.bench.markdown import head, row
from tests.bench.measuring import HttpRun
from tests.bench.results import CORES, Results, median
from tests.bench.rpc_client import CALLS_AT_ONCE, CHANNELS

_MEBIBYTE = 2**20


def report(results: Results) -> str:
    """Return the tables, with what they tell of."""
    parts = []
    if results.http:
        parts += [*_http_table(results), "", *_http_notes(results), ""]
    if results.grpc:
        parts += [*_grpc_table(results), "", *_grpc_notes(), ""]
    return "\n".join(parts)


def _http_table(results: Results) -> Iterator[str]:
    yield from head(
        "contender",
        "requests/s",
        "pairs/s",
        f"to {ENVOY}",
        f"to {FASTAPI}",
        f"to {ECHO}",
        "server CPU µs/request",
        "p50 / p99 ms at the peak",
        "p50 / p99 ms at half of it",
        "MiB resident",
    )
    for name, runs in results.http.items():
        yield row(
            name,
            f"{results.peak(name):,.0f}",
            f"{median(runs, lambda run: run.peak.pairs_per_second):,.0f}",
            *(_times(results.ratio(name, other)) for other in (ENVOY, FASTAPI, ECHO)),
            f"{median(runs, lambda run: run.server_cpu_us):,.0f}",
            _latency(runs, lambda run: run.peak),
            _latency(runs, lambda run: run.half),
            _resident(runs),
        )


def _http_notes(results: Results) -> Iterator[str]:
    yield (
        f"Medians. wrk with one thread and {CONNECTIONS} connections; it, the server and its database share {CORES} "
        "cores. A pair is a sale that is initiated and checked, every one different; the echo does neither."
    )
    if (ratio := results.two_workers_ratio()) is not None:
        yield ""
        runs = results.http[TWO_WORKERS]
        used, generating = median(runs, lambda run: run.server_cores), median(runs, lambda run: run.client_cores)
        yield (
            f"Two workers to one process, with the load generator's own CPU accounted for: {ratio:.2f} "
            f"(at the peak the workers used {used:.2f} cores, wrk {generating:.2f})."
        )


def _grpc_table(results: Results) -> Iterator[str]:
    yield from head(
        "gRPC",
        "server CPU µs/call",
        "client CPU µs/call",
        f"{EMPTY_RPC}: CPU of both to this",
        "calls/s",
        "p50 / p99 ms",
    )
    empty = results.grpc.get(EMPTY_RPC)
    for name, runs in results.grpc.items():
        cpu_us = median(runs, lambda run: run.cpu_us)
        yield row(
            name,
            f"{median(runs, lambda run: run.server_cpu_us):,.0f}",
            f"{median(runs, lambda run: run.client_cpu_us):,.0f}",
            f"{median(empty, lambda run: run.cpu_us) / cpu_us:.0%}" if empty else "",
            f"{median(runs, lambda run: run.calls_per_second):,.0f}",
            f"{median(runs, lambda run: run.p50_ms):.1f} / {median(runs, lambda run: run.p99_ms):.1f}",
        )


def _grpc_notes() -> Iterator[str]:
    yield (
        f"Medians. InitiateSale and CheckSale in turns, {CALLS_AT_ONCE} calls at once over {CHANNELS} connections, "
        "from one process in Python, whose CPU limits calls/s."
    )


def _latency(runs: Sequence[HttpRun], load: Callable[[HttpRun], Load]) -> str:
    middle, high = (
        median(runs, lambda run: load(run).latency_ms.p50),
        median(runs, lambda run: load(run).latency_ms.p99),
    )
    return f"{middle:.1f} / {high:.1f}"


def _resident(runs: Sequence[HttpRun]) -> str:
    return f"{median(runs, lambda run: sum(map(sum, run.resident_bytes.values()))) / _MEBIBYTE:,.0f}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
