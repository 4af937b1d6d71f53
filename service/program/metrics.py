"""What Prometheus is told of the service beside its rpcs and its store: numbers that its parts have anyway.

Imported only where metrics are served.
"""

from collections.abc import Mapping
from datetime import timedelta

from prometheus_client import Counter, Gauge

from gateway.metrics import Totals
from gateway.program.metrics import Metrics
from service.endpoints import Endpoints
from service.identifiers import utc_now
from service.program.domain import Domain
from service.program.settings import ServiceSettings
from service.rpc.metrics import RpcMetrics
from service.rpc.server import SaleServer
from service.store import Store
from service.store.metrics import StoreMetrics
from service.store.usage import Measurable

_HOUSEKEEPING = ("succeeded", "failed")


class ServiceMetrics:
    """Looks at the parts of the service.

    Args:
        metrics: of the process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.rpcs = RpcMetrics(metrics.meters)
        """Counts calls."""
        self._store: StoreMetrics | None = None
        self._measurable: Measurable | None = None
        self._connections = self._gauge("sale_store_connections", "Connections to PostgreSQL that there may be.")
        self._connections_in_use = self._gauge("sale_store_connections_in_use", "Connections to PostgreSQL that work.")
        self._retries = self._total("sale_store_retries", "Transactions that were tried again.")
        self._failed_chainings = self._total(
            "sale_audit_chaining_failures", "Failed attempts to put audit entries into the chain of hashes."
        )
        self._watchers = self._gauge("sale_watch_readers", "Readers of WatchSales.")
        self._lag = self._gauge(
            "sale_watch_lag_seconds",
            "How old the change is that the slowest reader of WatchSales takes; 0 if all have taken what there is.",
            mode="livemax",
        )
        self._calls = self._gauge("sale_grpc_calls_in_flight", "Calls that run, those of the JSON gateway among them.")
        self._refused = self._total("sale_grpc_refused", "Calls that were refused because there were too many.")
        self._held = self._gauge("sale_guesses_held", "Answers to failed attempts that are held back.")
        self._slowed = self._total("sale_guesses_slowed", "Failed attempts whose answers were slowed.")
        self._turned_away = self._total(
            "sale_guesses_turned_away", "Failed attempts that were not answered because too many are held back."
        )
        self._hits = self._total("sale_cache_hits", "Lookups that a cache has answered.", "cache")
        self._misses = self._total("sale_cache_misses", "Lookups for which the store was asked.", "cache")
        self._housekeeping = Counter(
            "sale_housekeeping_runs", "Runs of housekeeping, by result.", ["result"], registry=metrics.registry
        )
        for result in _HOUSEKEEPING:
            self._housekeeping.labels(result)
        self._housekeeping_time = self._gauge(
            "sale_housekeeping_last_success_timestamp_seconds", "When housekeeping succeeded last.", mode="max"
        )

    def around_store(self, store: Store, endpoints: Endpoints) -> Store:
        """Return a store that is measured.

        Args:
            store: what is measured.
            endpoints: among which those of its sales are.
        """

        def provider_of(endpoint_id: str) -> str:
            endpoint = endpoints.find(endpoint_id)
            return "" if endpoint is None else endpoint.provider

        self._store = StoreMetrics(self._metrics.meters, provider_of)
        if isinstance(store, Measurable):
            self._measurable = store
        return self._store.around(store)

    def watch(self, domain: Domain, server: SaleServer) -> None:
        """Look at the parts of the service from now on.

        Args:
            domain: its domain.
            server: its rpcs.
        """
        self._metrics.on_sample(self._sample_store)
        self._metrics.on_sample(lambda: self._sample_domain(domain))
        self._metrics.on_sample(lambda: self._sample_server(server))

    def expect(self, settings: ServiceSettings) -> None:
        """Tell zeros of providers of whom nothing has happened yet.

        Args:
            settings: that name them.
        """
        providers = {endpoint.provider for endpoint in settings.endpoints}
        self.rpcs.expect(providers)
        if self._store is not None:
            self._store.expect(providers)

    def note_housekeeping(self, counts: Mapping[str, int] | None) -> None:
        """Count a run.

        Args:
            counts: what it has done; None if it failed.
        """
        self._housekeeping.labels(_HOUSEKEEPING[counts is None]).inc()
        if counts is not None:
            self._housekeeping_time.set(utc_now().timestamp())

    def _sample_store(self) -> None:
        if self._measurable is None:
            return
        usage = self._measurable.usage()
        self._retries.move_to(usage.retries)
        self._failed_chainings.move_to(usage.failed_chainings)
        self._connections.set(usage.connections or 0)
        self._connections_in_use.set(usage.connections_in_use or 0)

    def _sample_domain(self, domain: Domain) -> None:
        reader, blocklist = domain.sales.reader, domain.blocklist
        delays = reader.delays(utc_now())
        self._watchers.set(len(delays))
        self._lag.set(max(delays, default=timedelta()).total_seconds())
        self._hits.move_all_to({"changes": reader.shared_reads, "blocklist": blocklist.lookups - blocklist.reads})
        self._misses.move_all_to({"changes": reader.own_reads, "blocklist": blocklist.reads})

    def _sample_server(self, server: SaleServer) -> None:
        self._calls.set(server.load.running)
        self._refused.move_to(server.load.refused)
        if server.guesses is not None:
            self._held.set(server.guesses.held)
            self._slowed.move_to(server.guesses.slowed)
            self._turned_away.move_to(server.guesses.turned_away)

    def _gauge(self, name: str, documentation: str, mode: str = "livesum") -> Gauge:
        return Gauge(name, documentation, registry=self._metrics.registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _total(self, name: str, documentation: str, *labels: str) -> Totals:
        return Totals(Counter(name, documentation, labels, registry=self._metrics.registry))
