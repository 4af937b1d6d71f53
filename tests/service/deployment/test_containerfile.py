"""The recipe of the image copies what there is, and runs as nobody in particular."""

import json
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.program.cli import main
from tests.running import PROGRAMS

FILE = Path("service/deployment/Containerfile")


def instructions() -> list[list[str]]:
    """Return the instructions of the recipe, each as its words."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [line.split() for line in whole.splitlines() if line]


def last_of(name: str) -> str:
    """Return the arguments of the last instruction of a name."""
    return " ".join(next(words[1:] for words in reversed(instructions()) if words[0] == name))


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([str(PROGRAMS / "hadolint"), str(FILE)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_everything_that_it_copies_is_there() -> None:
    copied = [words[1:-1] for words in instructions() if words[0] == "COPY" and not words[1].startswith("--from=")]

    sources = {source for sources in copied for source in sources}
    assert {"requirements.lock", "service"} <= sources
    assert all(Path(source).exists() for source in sources)
    packages = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(package).parts[0] for package in packages["packages"]} <= sources


def test_it_runs_without_rights_and_has_one_place_to_write() -> None:
    user, group = map(int, last_of("USER").split(":"))

    assert min(user, group) >= 1000
    assert last_of("VOLUME") == "/var/lib/sale" == last_of("WORKDIR")
    assert f"--chown={user}:{group}" in FILE.read_text()
    assert last_of("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("name", ["CMD", "HEALTHCHECK"])
def test_its_commands_are_there(name: str) -> None:
    program, command, *arguments = json.loads(last_of(name).partition("CMD ")[2] or last_of(name))

    assert program == "sale-service"
    shown = CliRunner().invoke(main, [command, "--help"])
    assert shown.exit_code == 0
    assert all(argument in shown.stdout for argument in arguments if argument.startswith("--"))


def test_what_is_installed_has_hashes() -> None:
    runs = [shlex.split(" ".join(words[1:])) for words in instructions() if words[0] == "RUN"]
    (locked,) = (words for words in runs if "requirements.lock" in words)

    assert "--require-hashes" in locked
