"""The payment gateways' endpoints that sales go to, and which one a sale goes to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, NamedTuple

from service.addresses import parse_address
from service.currencies import CURRENCIES
from service.errors import ErrorReason, SaleError, StoreUnavailable
from service.origin import Origin, origin_of_call
from service.signing import ControlKey

MAX_AMOUNT_CENTIS = 2**63 - 1
_SEVERAL = "Several endpoints take this transaction.currency; send an access token that is bound to one of them."
_NO_SUCH_ENDPOINT = "The endpoint that session.accessToken is bound to is not configured now; request a new one."


class CentisRange(NamedTuple):
    """Amounts in centis, both ends inclusive."""

    min: int
    max: int


@dataclass(frozen=True, slots=True)
class PaymentGateway:
    """Whose requests about the sales of an endpoint are taken: nothing in the requests proves who has sent them.

    Raises:
        ValueError: it would let everybody in; the message begins with the name of the setting.
    """

    addresses: tuple[IPv4Network | IPv6Network, ...] = ()
    """Where they come from; from anywhere if there is none."""
    certificates: frozenset[str] = frozenset()
    """Subject alternative names, one of which the client certificate has to have; none is needed if there is none."""

    def __post_init__(self) -> None:
        if not self.addresses and not self.certificates:
            raise ValueError("payment_gateway: needs addresses or certificates")

    def has_sent(self, origin: Origin) -> bool:
        """Tell whether a call comes from it."""
        return (not self.addresses or self._has_address(origin.address)) and (
            not self.certificates or not self.certificates.isdisjoint(origin.certificate_names)
        )

    def _has_address(self, text: str | None) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self.addresses)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One entry point at a payment gateway.

    Raises:
        ValueError: a value makes no sense; the message begins with the name of the setting.
    """

    id: str
    """The payment gateway's id for it."""
    provider: str
    """Name of the payment gateway, as in SBC, Elecsnet, TopTechPay or Gumballpay."""
    control_keys: tuple[ControlKey, ...]
    """The first one signs; every one verifies a session that it signed."""
    currencies: frozenset[str]
    """ISO 4217 alpha codes that it takes."""
    min_centis: int = 1
    """Smallest amount in centis, inclusive."""
    max_centis: int = MAX_AMOUNT_CENTIS
    """Largest amount in centis, inclusive."""
    signature_case: Literal["upper", "lower"] = "upper"
    """How the hexadecimal digits of signatures are written."""
    default: bool = False
    """Whether it gets the sales in a currency that other endpoints take as well."""
    random_sum_centis: CentisRange | None = None
    """From which each sale is given an amount that only the cardholder can see; None for no such check."""
    payment_gateway: PaymentGateway | None = None
    """Who alone may check its sales, map cards and call back; None for whoever knows a sale's secrets."""

    def __post_init__(self) -> None:
        if not self.control_keys:
            raise ValueError("control_keys: needs one key at least")
        if unknown := sorted(self.currencies - CURRENCIES):
            raise ValueError(f"currencies: not in ISO 4217: {', '.join(unknown)}")
        if not self.currencies:
            raise ValueError("currencies: needs one currency at least")
        if self.min_centis > self.max_centis:
            raise ValueError("min_centis: is more than max_centis")
        limits = self.random_sum_centis
        if limits is not None and not 1 <= limits.min < limits.max <= MAX_AMOUNT_CENTIS:
            raise ValueError("random_sum_centis: min must be 1 at least, and less than max")

    def in_case(self, signature: str) -> str:
        """Return an upper-case signature in the case that this endpoint writes."""
        return signature if self.signature_case == "upper" else signature.lower()

    def require_within_limits(self, amount_centis: int) -> None:
        """Refuse an amount outside the limits.

        Raises:
            SaleError: `ERROR_REASON_AMOUNT_OUT_OF_LIMITS`.
        """
        if not self.min_centis <= amount_centis <= self.max_centis:
            raise SaleError(
                ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_LIMITS,
                f"transaction.amountCentis must be from {self.min_centis} to {self.max_centis}, not {amount_centis}.",
            )

    def require_payment_gateway(self) -> None:
        """Refuse the call that runs if its payment gateway has not sent it.

        Raises:
            SaleError: `ERROR_REASON_CALLER_NOT_PERMITTED`.
        """
        if self.payment_gateway is not None and not self.payment_gateway.has_sent(origin_of_call()):
            raise SaleError(
                ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED, "Only the sale's payment gateway may send this."
            )


class Endpoints:
    """All endpoints of one server. They can be replaced while it runs; each request sees one state of them.

    Args:
        endpoints: the endpoints to begin with.

    Raises:
        ValueError: they can't be told apart; the message begins with the name of the setting.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.replace(endpoints)

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Put other endpoints in the place of all that there are.

        Raises:
            ValueError: as of the class; then the endpoints stay as they were.
        """
        if not endpoints:
            raise ValueError("endpoints: needs one endpoint at least")
        _require_distinct_ends([endpoint.id for endpoint in endpoints])
        by_currency = {
            currency: _preferred(currency, endpoints)
            for currency in frozenset[str]().union(*(endpoint.currencies for endpoint in endpoints))
        }
        self._by_id = {endpoint.id: endpoint for endpoint in endpoints}
        self._by_currency = by_currency

    def list(self) -> Sequence[Endpoint]:
        """Return all endpoints, by their ids."""
        return [self._by_id[id] for id in sorted(self._by_id)]

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint with this id, if there is one."""
        return self._by_id.get(endpoint_id)

    def require(self, endpoint_id: str) -> Endpoint:
        """Return the endpoint of a sale.

        Raises:
            StoreUnavailable: it is not configured now. That is no fault of the request, and can be mended.
        """
        endpoint = self.find(endpoint_id)
        if endpoint is None:
            raise StoreUnavailable("The endpoint of this sale is not configured now; try again later.")
        return endpoint

    def choose(self, currency: str, endpoint_id: str | None) -> Endpoint:
        """Return the endpoint that a sale goes to.

        Args:
            currency: the sale's.
            endpoint_id: the endpoint that the access token is bound to, if it is.

        Returns:
            That endpoint; without one the only endpoint that takes the currency, or the default among several.

        Raises:
            SaleError: `ERROR_REASON_CURRENCY_NOT_ACCEPTED`.
        """
        endpoint = self._by_currency.get(currency) if endpoint_id is None else self._by_id.get(endpoint_id)
        if endpoint is None or currency not in endpoint.currencies:
            raise SaleError(ErrorReason.ERROR_REASON_CURRENCY_NOT_ACCEPTED, self._why_not(currency, endpoint_id))
        return endpoint

    def _why_not(self, currency: str, endpoint_id: str | None) -> str:
        accepted: Iterable[str] = self._by_currency
        if endpoint_id is not None:
            if (bound := self._by_id.get(endpoint_id)) is None:
                return _NO_SUCH_ENDPOINT
            accepted = bound.currencies
        elif currency in self._by_currency:
            return _SEVERAL
        return f"No endpoint takes this transaction.currency; it must be one of {', '.join(sorted(accepted))}."


def _preferred(currency: str, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    takers = [endpoint for endpoint in endpoints if currency in endpoint.currencies]
    if len(takers) == 1:
        return takers[0]
    defaults = [endpoint for endpoint in takers if endpoint.default]
    if len(defaults) > 1:
        raise ValueError(f"endpoints: {_names(defaults)} are all the default for {currency}")
    return defaults[0] if defaults else None


def _require_distinct_ends(ids: Sequence[str]) -> None:
    # A signature joins serial number and endpoint id: were one id the end of another, a serial number could lend the
    # difference, and a sale of one endpoint would sign like a sale of the other.
    for position, one in enumerate(ids):
        for other in ids[position + 1 :]:
            if one == other:
                raise ValueError(f"endpoints: id {one} is there twice")
            if one.endswith(other) or other.endswith(one):
                raise ValueError(f"endpoints: id {min(one, other, key=len)} is the end of {max(one, other, key=len)}")


def _names(endpoints: Iterable[Endpoint]) -> str:
    return ", ".join(endpoint.id for endpoint in endpoints)
