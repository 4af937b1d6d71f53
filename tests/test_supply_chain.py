"""The bill of materials lists exactly what is locked, and everything that is locked has hashes."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.running import PROGRAMS

LOCK = Path("requirements.lock")
"""What a server runs on."""
OTEL_LOCK = Path("requirements-otel.lock")
"""That, and what sends traces."""
DEVELOPMENT_LOCK = Path("requirements-dev.lock")
"""All that, and the tools."""


def locked(lock: Path = LOCK) -> dict[tuple[str, str], set[str]]:
    """Return the SHA-256 digests of each name and version."""
    parts = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)
    found = {}
    for part in parts:
        if match := re.match(r"([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", part):
            found[match[1], match[2]] = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", part))
    return found


def hashes_in(component: dict[str, Any]) -> set[str]:
    references = [component, *component.get("externalReferences", [])]
    return {each["content"] for reference in references for each in reference.get("hashes", [])}


def test_everything_that_is_locked_has_hashes() -> None:
    everything = locked(DEVELOPMENT_LOCK)

    assert len(everything) > 100
    assert all(everything.values())
    assert all(locked(OTEL_LOCK).values())


def test_a_server_gets_what_was_tested_and_no_tool() -> None:
    names = {name for name, _ in locked()}

    assert {"grpcio", "starlette", "uvicorn"} <= names
    assert names.isdisjoint({"pytest", "mypy", "ruff", "grpcio-tools", "buf-bin"})
    assert locked().items() <= locked(OTEL_LOCK).items() <= locked(DEVELOPMENT_LOCK).items()


def test_the_bill_of_materials_lists_exactly_what_is_locked(tmp_path: Path) -> None:
    bill = tmp_path / "sbom.json"
    command = [str(PROGRAMS / "cyclonedx-py"), "requirements", str(LOCK), "--output-reproducible", "--no-validate"]
    subprocess.run([*command, "--output-format", "JSON", "--output-file", str(bill)], check=True, capture_output=True)

    document = json.loads(bill.read_text())

    assert document["bomFormat"] == "CycloneDX"
    listed = {(each["name"], each["version"]): hashes_in(each) for each in document["components"]}
    assert listed == locked()
