"""Which endpoint a sale goes to, and which endpoints can stand side by side."""

from ipaddress import ip_network
from typing import Any

import pytest

from service.endpoints import Endpoint, Endpoints, PaymentGateway
from service.errors import ErrorReason, SaleError
from service.origin import Origin
from service.signing import parse_control_key

KEY = parse_control_key("58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD")


def endpoint(id: str, *currencies: str, **named: Any) -> Endpoint:
    return Endpoint(id, "SBC", (KEY,), frozenset(currencies), **named)


def test_a_bound_token_decides_then_the_only_taker_then_the_default() -> None:
    endpoints = Endpoints([endpoint("11", "EUR", "USD"), endpoint("22", "EUR", default=True), endpoint("33", "EUR")])

    assert endpoints.choose("EUR", "33").id == "33"
    assert endpoints.choose("USD", None).id == "11"
    assert endpoints.choose("EUR", None).id == "22"


@pytest.mark.parametrize(
    ("currency", "bound", "words"),
    [
        ("CHF", None, "No endpoint takes this transaction.currency; it must be one of EUR, USD."),
        ("EUR", None, "Several endpoints take this transaction.currency; "),
        ("USD", "22", "No endpoint takes this transaction.currency; it must be one of EUR."),
        ("USD", "99", "The endpoint that session.accessToken is bound to is not configured now; "),
    ],
)
def test_without_an_endpoint_for_the_currency_a_sale_is_filtered(currency: str, bound: str | None, words: str) -> None:
    endpoints = Endpoints([endpoint("11", "EUR", "USD"), endpoint("22", "EUR")])

    with pytest.raises(SaleError) as refusal:
        endpoints.choose(currency, bound)

    assert refusal.value.reason == ErrorReason.ERROR_REASON_CURRENCY_NOT_ACCEPTED
    assert str(refusal.value).startswith(words)


@pytest.mark.parametrize("ids", [("11", "11"), ("11", "511"), ("4511", "11")])
def test_ids_that_a_serial_number_could_turn_into_one_another_are_refused(ids: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^endpoints: id "):
        Endpoints([endpoint(ids[0], "EUR"), endpoint(ids[1], "USD")])


def test_two_defaults_for_a_currency_are_refused() -> None:
    with pytest.raises(ValueError, match="are all the default for EUR"):
        Endpoints([endpoint("11", "EUR", default=True), endpoint("22", "EUR", default=True)])


@pytest.mark.parametrize(
    ("named", "setting"),
    [
        ({"currencies": frozenset({"ZZZ"})}, "currencies"),
        ({"currencies": frozenset()}, "currencies"),
        ({"control_keys": ()}, "control_keys"),
        ({"min_centis": 5, "max_centis": 4}, "min_centis"),
    ],
)
def test_an_endpoint_that_makes_no_sense_names_its_setting(named: dict[str, Any], setting: str) -> None:
    values: dict[str, Any] = {"control_keys": (KEY,), "currencies": frozenset({"EUR"})}

    with pytest.raises(ValueError, match=f"^{setting}: "):
        Endpoint("11", "SBC", **(values | named))


def test_limits_are_inclusive() -> None:
    limited = endpoint("11", "EUR", min_centis=5, max_centis=10)

    limited.require_within_limits(5)
    limited.require_within_limits(10)
    for amount in (4, 11):
        with pytest.raises(SaleError) as refusal:
            limited.require_within_limits(amount)
        assert refusal.value.reason == ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_LIMITS


def test_endpoints_that_cannot_be_replaced_stay() -> None:
    endpoints = Endpoints([endpoint("11", "EUR")])

    with pytest.raises(ValueError, match="twice"):
        endpoints.replace([endpoint("22", "EUR"), endpoint("22", "USD")])

    assert endpoints.choose("EUR", None).id == "11"


NETWORKS = (ip_network("203.0.113.0/24"), ip_network("2001:db8::/48"))


@pytest.mark.parametrize(
    ("address", "names", "by_address", "by_certificate"),
    [
        ("203.0.113.7", (), True, False),
        ("203.0.114.7", (), False, False),
        ("2001:db8::1", (), True, False),
        ("2001:db9::1", ("other.example",), False, False),
        ("::ffff:203.0.113.7", (), True, False),  # how a listener for both families tells it
        ("203.0.113.7%eth0", (), False, False),
        ("not an address", (), False, False),
        (None, (), False, False),
        (None, ("sbc.example",), False, True),
        ("203.0.113.7", ("other.example", "sbc.example"), True, True),
    ],
)
def test_a_payment_gateway_is_known_by_its_address_its_certificate_or_both(
    address: str | None, names: tuple[str, ...], by_address: bool, by_certificate: bool
) -> None:
    certificates = frozenset({"sbc.example"})
    origin = Origin("gateway", address, names)

    assert PaymentGateway(NETWORKS).has_sent(origin) is by_address
    assert PaymentGateway((), certificates).has_sent(origin) is by_certificate
    assert PaymentGateway(NETWORKS, certificates).has_sent(origin) is (by_address and by_certificate)


def test_a_payment_gateway_that_could_be_anybody_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^payment_gateway: needs addresses or certificates$"):
        PaymentGateway()
