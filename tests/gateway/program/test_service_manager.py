"""A service manager such as systemd is told what a program does, by datagrams as sd_notify sends them."""

import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.program.service_manager import ServiceManager
from tests.merchant import write_config
from tests.running import Program, running, service_arguments

WATCHDOG_MICROSECONDS = 1_000_000
"""Long enough for servers that start beside each other."""


class Manager:
    """A socket as systemd binds it.

    Args:
        name: a path, or with @ in front an abstract name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.settimeout(20)

    def told(self) -> str:
        return self.socket.recv(4096).decode()

    def told_of(self, name: str) -> str:
        """Return the next datagram that begins so; what comes before is thrown away."""
        while not (told := self.told()).startswith(name):
            pass
        return told

    def forget(self) -> None:
        """Throw away what was told until now."""
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            while self.told():
                pass
        self.socket.settimeout(20)

    def is_told_nothing(self) -> bool:
        self.socket.settimeout(WATCHDOG_MICROSECONDS / 1_000_000)
        with pytest.raises(TimeoutError):
            self.told()
        return True


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = f"@sale-test-{secrets.token_hex(8)}"
    manager = Manager(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    with closing(manager.socket):
        yield manager


def test_it_is_told_in_its_own_words(manager: Manager) -> None:
    program = ServiceManager({"NOTIFY_SOCKET": manager.name})

    program.say_ready()
    assert manager.told() == "READY=1"
    before = time.monotonic_ns() // 1000
    program.reload(program.give_sign)
    reloading, at = manager.told().split("\nMONOTONIC_USEC=")
    assert (reloading, before <= int(at) <= time.monotonic_ns() // 1000) == ("RELOADING=1", True)
    assert [manager.told(), manager.told()] == ["WATCHDOG=1", "READY=1"]
    program.say_stopping()
    assert manager.told() == "STOPPING=1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_signs_are_given_twice_as_often_as_they_are_waited_for(
    variables: dict[str, str], seconds: float | None
) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/run/notify", **variables}, pid=7).sign_seconds == seconds
    assert ServiceManager(variables, pid=7).sign_seconds is None


def test_where_nobody_waits_for_word_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", None)

    ServiceManager({}).say_ready()
    ServiceManager({"NOTIFY_SOCKET": ""}).say_ready()


def test_a_manager_that_is_gone_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).say_ready()

    assert "service manager not told" in capsys.readouterr().out


def test_a_program_tells_that_it_serves_is_alive_reloads_and_stops(tmp_path: Path) -> None:
    with watched(tmp_path, "--workers=1") as (manager, program):
        assert manager.told() == "READY=1"
        with program.client() as client:
            assert client.get("/readyz").status_code == 200
        assert [manager.told(), manager.told()] == ["WATCHDOG=1"] * 2

        os.kill(program.pid, signal.SIGSTOP)
        manager.forget()
        assert manager.is_told_nothing()
        os.kill(program.pid, signal.SIGCONT)

        reloads_and_stops(manager, program)


def test_a_supervisor_tells_for_its_workers_and_replaces_one_that_hangs(tmp_path: Path) -> None:
    with watched(tmp_path, "--workers=2") as (manager, program):
        assert manager.told() == "READY=1"
        hanging, other = children(program.pid)[-2:]

        os.kill(hanging, signal.SIGSTOP)

        assert program.wait_for_event("worker hangs")["pid"] == hanging
        program.wait_for_event("worker replaced", 20)
        assert other in children(program.pid)
        assert hanging not in children(program.pid)
        manager.forget()
        assert manager.told() == "WATCHDOG=1"

        reloads_and_stops(manager, program)


def reloads_and_stops(manager: Manager, program: Program) -> None:
    manager.socket.settimeout(20)
    program.send(signal.SIGHUP)
    assert manager.told_of("RELOADING=1").startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert manager.told_of("READY=1")

    assert program.stop() == 0
    assert manager.told_of("STOPPING=1")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def watched(folder: Path, *more: str) -> Iterator[tuple[Manager, Program]]:
    """Run a program of which a sign of life is waited for, for as long as the block runs."""
    manager = Manager(f"@sale-test-{secrets.token_hex(8)}")
    arguments = service_arguments(write_config(folder / "sale.toml"), f"sqlite:///{folder / 'sale.db'}", *more)
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(WATCHDOG_MICROSECONDS)}
    with closing(manager.socket), running(arguments, folder / "log", environment=environment) as program:
        yield manager, program
