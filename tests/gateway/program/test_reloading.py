"""Which settings are told that wait for a restart: those that changed, by name, and no value of them."""

from pathlib import Path

import pytest

from gateway.program.reloading import waiting_for_restart
from gateway.program.settings import load_settings
from service.program.settings import ServiceSettings

PORT = '[http.payment_gateway]\nlisten = "[::1]:1"\n'


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("", "", []),
        ("", "workers = 1", []),
        ("", "workers = 2", ["workers"]),
        (
            "workers = 2\n[http.limits]\nin_flight = 64",
            "[http]\nmax_body = 2048",
            ["http.max_body", "http.limits.in_flight", "workers"],
        ),
        ("", '[store]\npassword = "canary"', ["store.password"]),
        ('[store]\npassword = "canary"', '[store]\npassword = "canary"', []),
        ("", PORT, ["http.payment_gateway"]),
        (PORT, PORT.replace("]:1", "]:2"), ["http.payment_gateway.listen"]),
        ("", '[sessions]\nttl = "1h"', []),
    ],
)
def test_what_differs_is_named(tmp_path: Path, before: str, after: str, names: list[str]) -> None:
    (tmp_path / "before").write_text(before)
    (tmp_path / "after").write_text(after)
    running, read = (load_settings(ServiceSettings, tmp_path / name, {}) for name in ("before", "after"))

    told = waiting_for_restart(running, read, {"sessions"})

    assert told == ({"waiting_for_restart": names} if names else {})
