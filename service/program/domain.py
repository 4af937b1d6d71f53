"""The domain over a store, as the settings say."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from service.access_tokens import AccessTokens
from service.audit import AuditLog
from service.blocklist import Blocklist
from service.callers import Callers
from service.card_mapping import CardMapping
from service.cards import Cards
from service.endpoints import Endpoints
from service.housekeeping import Housekeeping
from service.identifiers import utc_now
from service.program.filter_settings import sale_limits_of
from service.program.settings import ServiceSettings, callers_of, endpoints_of, vault_keys_of
from service.program.stores import open_store
from service.random_sums import RandomSums
from service.rpc.sale_servicer import SaleDomain
from service.sale_events import SaleEvents
from service.sale_limits import SaleLimits
from service.sale_reader import SaleReader
from service.sales import Sales
from service.status_reports import StatusReports
from service.store import Store
from service.vault import Vault


@dataclass(frozen=True, slots=True)
class Domain:
    """All that the rpcs call on, and what of it can be changed while it runs."""

    store: Store
    audit_log: AuditLog
    endpoints: Endpoints
    vault: Vault
    callers: Callers
    sale_limits: SaleLimits
    access_tokens: AccessTokens
    cards: Cards
    blocklist: Blocklist
    sale_events: SaleEvents
    sales: SaleDomain
    housekeeping: Housekeeping

    def replace_keys(self, settings: ServiceSettings) -> None:
        """Use the endpoints, the limits, the keys and the callers of other settings from now on.

        Raises:
            ConfigurationError: they are wrong; then nothing is changed.
        """
        endpoints, keys, callers = endpoints_of(settings.endpoints), vault_keys_of(settings.vault), callers_of(settings)
        limits = sale_limits_of(settings.sale_limits, {endpoint.id for endpoint in endpoints})
        self.endpoints.replace(endpoints)
        self.sale_limits.replace(limits)
        self.vault.replace(keys)
        self.callers.replace(callers)


async def create_domain(
    settings: ServiceSettings, around_store: Callable[[Store, Endpoints], Store] = lambda store, endpoints: store
) -> Domain:
    """Open the store of the settings within the running event loop, and put the domain over it.

    Args:
        settings: of the program.
        around_store: puts something around the store.

    Raises:
        ConfigurationError: a setting is wrong, or the store can't be opened.
    """
    endpoints = Endpoints(endpoints_of(settings.endpoints))
    limits = SaleLimits(sale_limits_of(settings.sale_limits, {endpoint.id for endpoint in settings.endpoints}))
    vault = Vault(vault_keys_of(settings.vault), secrets.token_bytes)
    opened = await open_store(settings.store, statement_timeout=settings.store.statement_timeout)
    store = around_store(opened, endpoints)
    audit_log = AuditLog(store, clock=utc_now, randomness=secrets.token_bytes)
    access_tokens = AccessTokens(
        store,
        endpoints,
        audit_log,
        mode=settings.access_tokens.mode,
        ttl=settings.access_tokens.ttl,
        public=settings.access_tokens.public,
        clock=utc_now,
        randomness=secrets.token_bytes,
    )
    blocklist = Blocklist(store, audit_log, clock=utc_now)
    cards = Cards(store, vault, audit_log, blocklist, clock=utc_now, randomness=secrets.token_bytes)
    sales = Sales(
        store,
        endpoints,
        access_tokens,
        cards,
        limits,
        blocklist,
        session_ttl=settings.sessions.ttl,
        clock=utc_now,
        randomness=secrets.token_bytes,
    )
    card_mapping = CardMapping(
        store, endpoints, access_tokens, audit_log, clock=utc_now, randomness=secrets.token_bytes
    )
    return Domain(
        store=store,
        audit_log=audit_log,
        endpoints=endpoints,
        vault=vault,
        callers=Callers(callers_of(settings)),
        sale_limits=limits,
        access_tokens=access_tokens,
        cards=cards,
        blocklist=blocklist,
        sale_events=SaleEvents(store),
        sales=SaleDomain(
            sales=sales,
            card_mapping=card_mapping,
            status_reports=StatusReports(store, endpoints, clock=utc_now),
            random_sums=RandomSums(store),
            reader=SaleReader(store),
        ),
        housekeeping=Housekeeping(store, clock=utc_now, retention=settings.housekeeping.retention),
    )
