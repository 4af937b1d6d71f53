"""The dashboard and the alerts: of metrics that there are, in sound expressions, and at the right moments."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.certificates import Authority
from tests.conftest import deploy
from tests.merchant import callback_parameters, check_document, initiate_document, new_token
from tests.promql import Expression
from tests.scraping import Scrape, scrape

DEPLOYMENT = Path(str(resources.files("service"))) / "deployment"
DASHBOARD: dict[str, Any] = json.loads((DEPLOYMENT / "grafana-dashboard.json").read_text())
ALERTS_FILE = DEPLOYMENT / "prometheus-alerts.yaml"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(ALERTS_FILE.read_text())["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
    **{name: rule["expr"] for name, rule in ALERTS.items()},
}
BY_PROMETHEUS = {"job", "instance", "up"}
"""What every scrape has, whatever is scraped."""
WITH_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="needs promtool: Debian's package prometheus"
)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrape]:
    """What a server tells after a little of everything."""
    folder = tmp_path_factory.mktemp("exposed")
    files = Authority(folder).server()
    tls = f'[grpc]\ntls_cert = "{files.certificate}"\ntls_key = "{files.key}"\n'
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", folder, '[metrics]\nlisten = "127.0.0.1:0"\n' + tls)
        http, token = deployment.http, deployment.http.request_access_token()
        opened = http.initiate(initiate_document(token)).body
        http.check(opened["invoiceId"], check_document(new_token(), opened))
        http.check(opened["invoiceId"], check_document(token, opened))
        http.callback(callback_parameters(opened["invoiceId"]))
        yield scrape(deployment.service)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_each_expression_is_of_metrics_and_labels_that_there_are(name: str, exposed: Scrape) -> None:
    expression = Expression(EXPRESSIONS[name])
    assert expression.selectors()
    labels: set[str] = set(BY_PROMETHEUS)
    for selector in expression.selectors():
        assert selector.name in exposed.names | BY_PROMETHEUS
        known = exposed.labels_of(selector.name) | BY_PROMETHEUS
        assert selector.labels <= known
        labels |= known
    assert expression.grouping() <= labels


def test_each_panel_tells_what_it_shows_and_in_which_unit() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_cover_each_other() -> None:
    covered: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        fields = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not fields & covered
        assert place["x"] + place["w"] <= 24
        covered |= fields


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_tells_what_is_wrong_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert all(rule["annotations"][part] for part in ("summary", "description", "action"))
    text = ALERTS_FILE.read_text()
    reason = text[text.index(f"alert: {name}\n") :].splitlines()[1].strip()
    assert reason.startswith("# ")


class Case(NamedTuple):
    """What an alert makes of series."""

    alert: str
    minutes: int
    """After so long it is looked."""
    fires: bool
    series: dict[str, str]
    """Values at each minute, as promtool writes them."""

    def for_promtool(self) -> dict[str, Any]:
        firing = f'count(ALERTS{{alertname="{self.alert}", alertstate="firing"}}) or vector(0)'
        return {
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in self.series.items()],
            "promql_expr_test": [
                {
                    "expr": firing,
                    "eval_time": f"{self.minutes}m",
                    "exp_samples": [{"labels": "{}", "value": int(self.fires)}],
                }
            ],
        }


INITIATED = 'sale_state_changes_total{state="INITIATED", provider="SBC"}'
CHECKED = 'sale_state_changes_total{state="CHECKED", provider="SBC"}'
CASES = [
    Case("SalePaymentsStopped", 40, True, {INITIATED: "0+5x60", CHECKED: "9x60"}),
    Case("SalePaymentsStopped", 40, False, {INITIATED: "0+5x60", CHECKED: "0+1x60"}),
    Case("SalePaymentsStopped", 40, False, {INITIATED: "0x60", CHECKED: "0x60"}),
    Case("SaleAmountDiffers", 10, True, {'sale_callback_amount_mismatches_total{provider="SBC"}': "0x5 1x60"}),
    Case("SaleAmountDiffers", 10, False, {'sale_callback_amount_mismatches_total{provider="SBC"}': "3x60"}),
    Case(
        "SaleWrongControlChecksums",
        20,
        True,
        {'sale_refusals_total{method="ReceiveCallback", code="1109", provider="SBC"}': "0+1x60"},
    ),
    Case(
        "SaleWrongControlChecksums",
        20,
        False,
        {'sale_refusals_total{method="ReceiveCallback", code="1109", provider="SBC"}': "0x10 1x60"},
    ),
    Case(
        "SaleErrorRatioHigh",
        20,
        True,
        {
            'sale_http_requests_total{job="sale", code="OK"}': "0+60x60",
            'sale_http_requests_total{job="sale", code="4000"}': "0+6x60",
        },
    ),
    Case(
        "SaleErrorRatioHigh",
        20,
        False,
        {
            'sale_http_requests_total{job="sale", code="OK"}': "0+600x60",
            'sale_http_requests_total{job="sale", code="1102"}': "0+600x60",
            'sale_http_requests_total{job="sale", code="4000"}': "0+1x60",
        },
    ),
    Case("SaleServerDown", 5, True, {'up{job="sale", instance="a:9464"}': "1 0x60"}),
    Case("SaleServerDown", 5, False, {'up{job="sale", instance="a:9464"}': "1x60"}),
    Case("SaleStoreUnavailable", 10, True, {'sale_store_unavailable_total{job="sale"}': "0+1x60"}),
    Case("SaleStoreUnavailable", 10, False, {'sale_store_unavailable_total{job="sale"}': "7x60"}),
    Case("SaleOverloaded", 20, True, {'sale_http_refused_total{job="sale", limit="in_flight"}': "0+1x60"}),
    Case("SaleOverloaded", 20, False, {'sale_http_refused_total{job="sale", limit="malformed"}': "0+1x60"}),
    Case("SaleHousekeepingStops", 20, True, {"sale_housekeeping_last_success_timestamp_seconds": "0x60"}),
    Case("SaleHousekeepingStops", 20, False, {"sale_housekeeping_last_success_timestamp_seconds": "0+60x60"}),
    Case("SaleClockWrong", 20, True, {"sale_housekeeping_last_success_timestamp_seconds": "90+60x60"}),
    Case("SaleClockWrong", 20, False, {"sale_housekeeping_last_success_timestamp_seconds": "0+60x60"}),
    Case(
        "SaleCertificateEndsSoon",
        90,
        True,
        {'sale_certificate_not_after_timestamp_seconds{listener="http"}': "1209600x120"},
    ),
    Case(
        "SaleCertificateEndsSoon",
        90,
        False,
        {'sale_certificate_not_after_timestamp_seconds{listener="http"}': "1300000x120"},
    ),
    Case("SaleRestartsOften", 30, True, {'process_start_time_seconds{job="sale"}': "0+60x60"}),
    Case("SaleRestartsOften", 30, False, {'process_start_time_seconds{job="sale"}': "60x15 120x60"}),
    Case("SaleWatchersLag", 20, True, {"sale_watch_lag_seconds": "61x60"}),
    Case("SaleAuditNotChained", 30, True, {"sale_audit_chaining_failures_total": "0+1x60"}),
]


@WITH_PROMTOOL
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    tests = {
        "rule_files": [str(ALERTS_FILE)],
        "evaluation_interval": "1m",
        "tests": [case.for_promtool() for case in CASES],
    }
    path = tmp_path / "tests.yaml"
    path.write_text(json.dumps(tests))
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@WITH_PROMTOOL
def test_promtool_finds_no_fault_in_what_is_exposed_and_what_is_configured(exposed: Scrape) -> None:
    for arguments, text in (
        (["check", "metrics"], exposed.text),
        (["check", "rules", str(ALERTS_FILE)], ""),
        (["check", "config", str(DEPLOYMENT / "prometheus.yaml")], ""),
    ):
        done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
