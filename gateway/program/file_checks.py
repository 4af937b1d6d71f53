"""What is suspicious about the files that settings name, and no reason to refuse them."""

import os
import stat
import tomllib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from pydantic import BaseModel

from gateway.program.settings import without_password
from gateway.program.values import FileOf

_KEYS = frozenset({"control_keys", "key", "password"})
"""Settings that are one, whichever program reads them."""
SOON = timedelta(days=14)
"""How long before its end a certificate is told, unless it is said otherwise."""
_log = structlog.stdlib.get_logger(__name__)


class Suspicion(NamedTuple):
    """Something that whoever runs a server should look at."""

    event: str
    told: dict[str, str]
    """What is told with it, as the log names it."""


def warn(suspicions: Iterable[Suspicion]) -> None:
    """Log a line for each."""
    for event, told in suspicions:
        _log.warning(event, **told)


def suspicious_files(
    settings: BaseModel, config: Path | None, now: datetime, unused: Collection[str] = (), soon: timedelta = SOON
) -> Iterator[Suspicion]:
    """Return which files with keys others than their owner can read, and which certificates are about to end.

    Args:
        settings: of the program.
        config: the file that they are from.
        now: the present.
        unused: tables that the program has no use for.
        soon: how long before its end a certificate is told.
    """
    files = _used_files(settings, FileOf.KEYS, unused)
    if config is not None and _has_key(_parsed(config)):
        files.append(("--config", config))
    for name, path in files:
        if _is_readable_by_others(path):
            yield Suspicion("file readable by others", {"setting": name, "file": str(path)})
    for name, path in _used_files(settings, FileOf.CERTIFICATE, unused):
        if (found := _lifetime(path)) is not None and (event := _event(*found, now, soon)) is not None:
            begins, ends = (time.isoformat().replace("+00:00", "Z") for time in found)
            yield Suspicion(event, {"setting": name, "file": str(path), "begins": begins, "ends": ends})


def certificate_ends(settings: BaseModel, unused: Collection[str] = ()) -> Iterator[tuple[str, datetime]]:
    """Return when the certificates end, by the tables of the settings that name them.

    Args:
        settings: of the program.
        unused: as of `suspicious_files`.
    """
    for name, path in _used_files(settings, FileOf.CERTIFICATE, unused):
        if (found := _lifetime(path)) is not None:
            yield name.rpartition(".")[0], found[1]


def _used_files(settings: BaseModel, kind: FileOf, unused: Collection[str]) -> list[tuple[str, Path]]:
    return [each for each in _files(settings, kind) if each[0].partition(".")[0] not in unused]


def _files(value: Any, kind: FileOf, name: str = "") -> Iterator[tuple[str, Path]]:
    """Return the settings that name a file of a kind, and the file."""
    if isinstance(value, BaseModel):
        for field_name, field in type(value).model_fields.items():
            inner, here = getattr(value, field_name), f"{name}.{field_name}".removeprefix(".")
            if kind not in field.metadata:
                yield from _files(inner, kind, here)
            elif inner is not None:
                yield here, inner
    elif isinstance(value, tuple):
        for position, each in enumerate(value):
            yield from _files(each, kind, f"{name}[{position}]")


def _is_readable_by_others(path: Path) -> bool:
    with suppress(OSError):  # what can't be looked at is told by whoever needs it
        found = path.stat()
        # A file of another user's is read by its group: so root, Kubernetes and systemd hand keys to a program.
        own_group = found.st_uid != os.geteuid()
        return bool(found.st_mode & (stat.S_IROTH if own_group else stat.S_IRGRP | stat.S_IROTH))
    return False


def _lifetime(path: Path) -> tuple[datetime, datetime] | None:
    """Return from when to when the certificate of a file is valid: the first one, those of authorities follow it."""
    # Only who serves by TLS needs it: it is 13 MB.
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    with suppress(OSError, ValueError):  # who serves with it tells what is wrong
        certificate = load_pem_x509_certificate(path.read_bytes())
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return None


def _event(begins: datetime, ends: datetime, now: datetime, soon: timedelta) -> str | None:
    if now < begins:
        return "certificate not valid yet"
    if now > ends:
        return "certificate has ended"
    return "certificate ends soon" if ends - now <= soon else None


def _parsed(config: Path) -> Any:
    with suppress(OSError, ValueError):  # it may have changed since it was read
        return tomllib.loads(config.read_text(encoding="utf-8"))
    return {}


def _has_key(value: Any) -> bool:
    if isinstance(value, dict):
        return not _KEYS.isdisjoint(value) or any(map(_has_key, value.values()))
    if isinstance(value, list):
        return any(map(_has_key, value))
    return isinstance(value, str) and without_password(value) != value
