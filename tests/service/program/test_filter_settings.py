"""What is refused of the settings of filters."""

from pathlib import Path

import pytest

from gateway.program.settings import ConfigurationError, load_settings
from service.program.filter_settings import sale_limits_of, slowness_of
from service.program.settings import ServiceSettings
from tests.merchant import SBC, write_config


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ('per = "phone"\nwindow = "1h"\nsales = 1', "sale_limits[0].per: "),
        ('per = "device"\nsales = 1', "sale_limits[0].window: "),
        ('per = "device"\nwindow = "1h"', "sale_limits[0].sales: must be set, or centis"),
        ('per = "device"\nwindow = "1h"\nsales = 0', "sale_limits[0].sales: "),
        ('per = "device"\nwindow = "10ms"\nsales = 1', "sale_limits[0].window: "),
        (
            'per = "device"\nwindow = "1h"\nsales = 1\nendpoint_id = "9"',
            "sale_limits[0].endpoint_id: there is no endpoint 9",
        ),
        (
            'per = "device"\nwindow = "1h"\nsales = 1\n[[sale_limits]]\nper = "device"\nwindow = "60m"\nsales = 2',
            "sale_limits[1].sales: another limit counts the same",
        ),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limits: str, told: str, tmp_path: Path) -> None:
    config = write_config(tmp_path / "sale.toml", f"[[sale_limits]]\n{limits}\n")

    with pytest.raises(ConfigurationError) as refused:
        sale_limits_of(load_settings(ServiceSettings, config, {}).sale_limits, {SBC.endpoint_id})

    assert told in str(refused.value)


def test_who_guesses_may_not_take_all_places_of_the_gateway(tmp_path: Path) -> None:
    config = write_config(tmp_path / "sale.toml", "[guesses]\nmax_held = 33\n[http.limits]\nin_flight = 65\n")
    settings = load_settings(ServiceSettings, config, {})

    with pytest.raises(ConfigurationError, match=r"^guesses.max_held: 33 is more than half of http.limits.in_flight"):
        slowness_of(settings.guesses, settings.http.limits.in_flight)
    assert slowness_of(settings.guesses, 66) is not None
