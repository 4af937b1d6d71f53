"""Checks of what is configured, by what `serve` itself asks of it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.program.listening import require_sound_listeners
from gateway.program.settings import ConfigurationError
from gateway.program.sound_versions import require_sound_versions
from gateway.program.telemetry import require_tracing
from service.program.checks import suspicious_settings
from service.program.doctor.findings import SOON, Finding, Grade, counted
from service.program.doctor.known_keys import check_known_keys
from service.program.doctor.ports import listeners_of
from service.program.filter_settings import sale_limits_of, slowness_of
from service.program.settings import ServiceSettings, callers_of, endpoints_of, vault_keys_of
from service.store.sqlite.file import require_sound_version, sqlite_version

_ADVICE = {
    "file readable by others": "chmod 600 {file}: there are keys in it.",
    "certificate ends soon": "Renew it, put it into {file}, and send the server SIGHUP.",
    "certificate has ended": "Renew it, put it into {file}, and send the server SIGHUP.",
    "certificate not valid yet": "Look at this host's clock and at the certificate.",
    "client certificate never asked for": "Set {needs}.",
}
_FAILS = frozenset({"certificate has ended", "certificate not valid yet"})


def check_versions() -> Iterator[Finding]:
    """Tell whether a package is installed in a version that is known to be unsound."""
    try:
        require_sound_versions()
        require_sound_version(sqlite_version())
    except (ConfigurationError, RuntimeError) as error:
        yield Finding("versions", Grade.FAIL, str(error), "Install from requirements.lock again.")
    else:
        yield Finding("versions", Grade.OK, f"none is known to be unsound; SQLite {sqlite_version()}")


def check_settings(settings: ServiceSettings) -> Iterator[Finding]:
    """Tell whether `serve` takes the settings, keys in files among them."""

    def limits() -> object:
        return sale_limits_of(settings.sale_limits, {endpoint.id for endpoint in settings.endpoints})

    def ports() -> str:
        listeners = listeners_of(settings)
        require_sound_listeners(listeners)
        return f"{counted(len(listeners), 'port')}, each protected"

    def traces() -> str | None:
        require_tracing(settings)
        return settings.tracing.traces_url

    def keys() -> int:
        return sum(len(endpoint.control_keys) for endpoint in endpoints_of(settings.endpoints))

    yield _tried("endpoints", lambda: f"{len(settings.endpoints)} with {counted(keys(), 'control key')}")
    yield from check_known_keys(settings)
    yield _tried("callers", lambda: f"{len(callers_of(settings))} may use the gRPC port")
    yield _tried("vault", lambda: vault_keys_of(settings.vault) and counted(len(settings.vault.keys), "key"))
    yield _tried("sale_limits", lambda: limits() and counted(len(settings.sale_limits), "limit"))
    yield _tried("guesses", lambda: slowness_of(settings.guesses, settings.http.limits.in_flight) and "slowed")
    yield _tried("listeners", ports)
    yield _tried("tracing", traces)


def check_files(settings: ServiceSettings, config: Path | None, now: datetime) -> Iterator[Finding]:
    """Tell who can read files with keys, and which certificates end within 30 days."""
    suspicions = list(suspicious_settings(settings, config, now, serves_http=True, soon=SOON))
    for event, told in suspicions:
        grade = Grade.FAIL if event in _FAILS else Grade.WARN
        what = f"{event}: {told['file']}" if "file" in told else event
        what += f", {told['begins']} to {told['ends']}" if "ends" in told else ""
        yield Finding(told["setting"], grade, what, _ADVICE[event].format_map(told))
    if not suspicions:
        yield Finding("files", Grade.OK, "keys are readable by their owner alone, no certificate ends soon")


def _tried(check: str, work: Callable[[], Any]) -> Finding:
    try:
        return Finding(check, Grade.OK, str(work() or "off"))
    except ConfigurationError as error:
        return Finding(check, Grade.FAIL, str(error), "Correct the setting; serve refuses to start with it.")
