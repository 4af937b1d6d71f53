"""The units are what systemd takes, are shut in, and wait longer than the programs do; the programs run shut in so."""

import configparser
import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.program.cli import main as sale_gateway
from gateway.program.settings import ProgramSettings
from gateway.program.workers import KILL_AFTER_SECONDS
from service.program.cli import main as sale_service
from tests.merchant import VAULT, initiate_document, write_config
from tests.running import PROGRAMS, running, service_arguments
from tests.transports import OverHttp

UNITS = Path("service/deployment")
MAINS = {"sale-service": sale_service, "sale-gateway": sale_gateway}
NAMES = tuple(MAINS)
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
WITHOUT_WRITE_AND_EXECUTE = (
    "import ctypes, os, sys;"
    f"ctypes.CDLL(None).prctl({PR_SET_MDWE}, {PR_MDWE_REFUSE_EXEC_GAIN}, 0, 0, 0) and sys.exit('no prctl');"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "CI" not in os.environ,
    reason="systemd-analyze is not installed: apt-get install systemd",
)


class Unit(configparser.RawConfigParser):
    """A unit, read as far as each setting is there once."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False)
        self.optionxform = str  # type: ignore[method-assign,assignment]
        self.read_string((UNITS / f"{name}.service").read_text())
        self.service = self["Service"]


def analyze(*arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"{name}.service"
    unit.write_text((UNITS / unit.name).read_text().replace("/opt/sale/bin", str(PROGRAMS)))

    analyze("verify", "--man=no", "--recursive-errors=no", str(unit))


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_what_the_unit_may_do_is_little(name: str) -> None:
    told = analyze("security", "--offline=true", "--no-pager", str(UNITS / f"{name}.service"))

    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+) ", told)
    assert float(level) < 2.0


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_starts_what_there_is(name: str) -> None:
    program, *arguments = Unit(name).service["ExecStart"].split()

    assert Path(program).name == name
    shown = CliRunner().invoke(MAINS[name], [arguments[0], "--help"])
    assert shown.exit_code == 0
    assert all(argument in shown.stdout for argument in arguments if argument.startswith("--"))


@pytest.mark.parametrize("name", NAMES)
def test_systemd_waits_longer_than_requests_may_run_on(name: str) -> None:
    grace = ProgramSettings().shutdown_grace.total_seconds()

    assert float(Unit(name).service["TimeoutStopSec"]) > grace + KILL_AFTER_SECONDS


@pytest.mark.skipif(
    sys.platform != "linux" or ctypes.CDLL(None).prctl(PR_SET_MDWE + 1, 0, 0, 0, 0) < 0,
    reason="needs Linux 6.3",
)
def test_the_program_needs_no_memory_that_is_written_and_executed(tmp_path: Path) -> None:
    assert Unit("sale-service").service["MemoryDenyWriteExecute"] == "yes"
    config = write_config(tmp_path / "sale.toml", VAULT)
    program, *arguments = service_arguments(config, f"sqlite:///{tmp_path / 'sale.db'}")
    command = [sys.executable, "-c", WITHOUT_WRITE_AND_EXECUTE, str(PROGRAMS / program), *arguments]
    with running(command, tmp_path / "log") as server, server.client() as client:
        http = OverHttp(client)
        assert http.initiate(initiate_document(http.request_access_token())).code == 0
