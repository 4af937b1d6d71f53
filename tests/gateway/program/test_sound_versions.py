"""A program refuses to start on what is known to be unsound of that which reads bytes from anybody."""

from importlib import metadata

import click
import pytest
from click.testing import CliRunner

from gateway.program import cli as gateway_cli
from gateway.program import sound_versions
from gateway.program.sound_versions import UNSOUND, Unsound, require_sound_versions
from service.program import cli as service_cli


def installed(monkeypatch: pytest.MonkeyPatch, package: str, version: str) -> None:
    monkeypatch.setattr(sound_versions, "version", lambda name: version if name == package else metadata.version(name))


@pytest.mark.parametrize("unsound", UNSOUND)
@pytest.mark.parametrize("program", [service_cli.main, gateway_cli.main])
def test_it_does_not_start_on_one(monkeypatch: pytest.MonkeyPatch, program: click.Group, unsound: Unsound) -> None:
    *first, last = unsound.before
    before = ".".join(map(str, (*first, last - 1, 9)))
    installed(monkeypatch, unsound.package, before)

    done = CliRunner().invoke(program, ["serve"])

    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {unsound.package} {before} is not sound, ")
    assert "CVE-" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("later", ["", ".1", ".post1"])
def test_from_the_version_on_that_mends_it_it_does(monkeypatch: pytest.MonkeyPatch, later: str) -> None:
    for unsound in UNSOUND:
        installed(monkeypatch, unsound.package, ".".join(map(str, unsound.before)) + later)
        require_sound_versions()


def test_what_is_installed_here_is_sound() -> None:
    require_sound_versions()
