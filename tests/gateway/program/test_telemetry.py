"""Settings of metrics and traces, and what is told where they can't be."""

import subprocess
from pathlib import Path

import pytest

from gateway.program.settings import ConfigurationError, GatewaySettings, load_settings
from tests.running import PROGRAMS


def settings(folder: Path, text: str) -> GatewaySettings:
    file = folder / "gateway.toml"
    file.write_text(text)
    return load_settings(GatewaySettings, file, {})


def test_neither_is_on_unless_configured(tmp_path: Path) -> None:
    found = settings(tmp_path, "")
    assert found.metrics is None
    assert found.tracing.traces_url is None


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://otlp.example/our/own/path", "https://otlp.example/our/own/path"),
    ],
)
def test_traces_go_to_the_path_of_otlp_unless_there_is_another(tmp_path: Path, endpoint: str, url: str) -> None:
    assert settings(tmp_path, f'[tracing]\notlp_endpoint = "{endpoint}"').tracing.traces_url == url


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[tracing]\notlp_endpoint = "127.0.0.1:4318"', "tracing.otlp_endpoint: must be a URL"),
        ('[tracing]\notlp_endpoint = "http://me:secret@host"', "tracing.otlp_endpoint: must have no credentials"),
        ("[tracing]\nsample_ratio = 2", "tracing.sample_ratio: "),
        ("[metrics]\nplaintext = true", "metrics.listen: must be set"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings(tmp_path, text)
    assert str(refusal.value).startswith(fault)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("0.0.0.0:9464", "metrics.listen: other hosts reach 0.0.0.0:9464"),
        ("127.0.0.1:28399", "metrics.listen: 127.0.0.1:28399 is taken by http.listen"),
    ],
)
def test_a_port_for_metrics_is_protected_and_one_of_its_own(address: str, fault: str) -> None:
    command = [str(PROGRAMS / "sale-gateway"), "serve", "--http=127.0.0.1:28399", f"--metrics={address}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert fault in done.stderr
