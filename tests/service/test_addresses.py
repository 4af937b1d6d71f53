"""How IP addresses are compared and counted."""

import pytest

from service.addresses import parse_address, site_of


@pytest.mark.parametrize(
    ("text", "address", "site"),
    [
        ("192.0.2.17", "192.0.2.17", "192.0.2.17"),
        ("::ffff:192.0.2.17", "192.0.2.17", "192.0.2.17"),  # how a listener for both families tells it
        ("2001:DB8:0:1:ffff::1", "2001:db8:0:1:ffff::1", "2001:db8:0:1::"),
        ("2001:db8:0:2::", "2001:db8:0:2::", "2001:db8:0:2::"),
        ("::1", "::1", "::"),
        ("192.0.2.017", "None", None),
        ("192.0.2.0/24", "None", None),
        ("localhost", "None", None),
        ("", "None", None),
        (None, "None", None),
    ],
)
def test_an_address_is_read_and_counted_with_all_of_its_site(text: str | None, address: str, site: str | None) -> None:
    assert str(parse_address(text)) == address
    assert site_of(text) == site
