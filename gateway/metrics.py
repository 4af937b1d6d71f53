"""What Prometheus is told of the HTTP ports. Imported only where metrics are served."""

from collections.abc import Mapping
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.http_limits import LIMITS, Load
from gateway.meters import Count, Distribution, Meters
from gateway.request_record import RequestRecord

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the buckets of whatever lasts as long as a request does."""
_SUCCEEDED = "OK"
_NO_ROUTE = "none"
"""Stands for paths that there are not: what was asked for is the client's choice, and would be a series each time."""

_MAX_MEMBERS = 100
"""How many names of ignored members have a series of their own in a process: they are the clients' choice too."""
_OTHER_MEMBER = "other"


class Totals:
    """A counter of what somebody else counts already, at no cost for whoever does.

    Args:
        counter: moved on to the totals.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen: dict[str | None, float] = {}

    def move_to(self, total: float, label: str | None = None) -> None:
        """Count what has been added to a total since the last time.

        Args:
            total: as it is now; it never falls.
            label: value of the counter's one label, if it has one.
        """
        counter = self._counter if label is None else self._counter.labels(label)
        counter.inc(total - self._seen.get(label, 0.0))
        self._seen[label] = total

    def move_all_to(self, totals: Mapping[str, float]) -> None:
        """As `move_to`, for several values of the label.

        Args:
            totals: by the values.
        """
        for label, total in totals.items():
            self.move_to(total, label)


class HttpMetrics:
    """Counts requests, and looks at the load of the ports.

    Args:
        meters: what measures.
        registry: takes what else there is.
        load: of the process.
    """

    def __init__(self, meters: Meters, registry: CollectorRegistry, load: Load) -> None:
        self._load = load
        self._requests = meters.counter(
            "sale_http_requests",
            "Requests that were answered, by route, HTTP status, error.code (OK if there is none) and provider.",
            ["route", "status", "code", "provider"],
        )
        self._durations = meters.histogram(
            "sale_http_request_duration_seconds",
            "Time from a whole request to its answer, by route and outcome: succeeded, or refused and maybe slowed.",
            SECONDS,
            ["route", "outcome"],
        )
        self._ignored = meters.counter(
            "sale_http_ignored_members",
            "Members and parameters of requests that no field is named for, by route and name.",
            ["route", "member"],
        )
        self._members: set[tuple[str, str]] = set()
        self._in_flight = Gauge(
            "sale_http_requests_in_flight",
            "Requests that are worked on, as seen once a second.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._connections = Gauge(
            "sale_http_connections",
            "Connections that are open, as seen once a second.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        refused = Counter(
            "sale_http_refused",
            "Connections and requests that were refused or cut off, by the limit that they met.",
            ["limit"],
            registry=registry,
        )
        self._refused = Totals(refused)
        self._refused.move_all_to(dict.fromkeys(LIMITS, 0.0))  # one that appears with its first refusal hides that
        self._series: dict[tuple[object, ...], tuple[Count, Distribution]] = {}

    def observe(self, record: RequestRecord, began: float) -> None:
        """Count a request that was answered.

        Args:
            record: of the request.
            began: when it came, as `time.perf_counter` has it.
        """
        key = (record.route, record.status, record.code, record.provider)
        if (series := self._series.get(key)) is None:
            series = self._series[key] = self._series_of(record)
        series[0].inc()
        series[1].observe(perf_counter() - began)
        for member in record.ignored_members or ():
            self._count_ignored(record.route or _NO_ROUTE, member)

    def _count_ignored(self, route: str, member: str) -> None:
        if (route, member) not in self._members:
            if len(self._members) >= _MAX_MEMBERS:
                member = _OTHER_MEMBER
            self._members.add((route, member))
        self._ignored.labels(route, member).inc()

    def sample(self) -> None:
        """Look at the load."""
        self._in_flight.set(self._load.in_flight)
        self._connections.set(self._load.connections)
        self._refused.move_all_to(self._load.refused)

    def _series_of(self, record: RequestRecord) -> tuple[Count, Distribution]:
        route, code = record.route or _NO_ROUTE, _SUCCEEDED if record.code is None else str(record.code)
        counts = self._requests.labels(route, str(record.status or ""), code, record.provider or "")
        return counts, self._durations.labels(route, "succeeded" if record.code is None else "refused")
