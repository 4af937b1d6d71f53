"""The settings of the store."""

import errno
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.program.settings import Section
from gateway.program.values import DurationSetting, KeyFileSetting

_SQLITE_SCHEME = "sqlite:///"
_POSTGRESQL_SCHEMES = ("postgresql://", "postgres://")


def _require_store_url(url: str) -> str:
    if not url.startswith((_SQLITE_SCHEME, *_POSTGRESQL_SCHEMES)) or url == _SQLITE_SCHEME:
        raise ValueError(
            "must be sqlite:///PATH, with one more slash where the path is absolute, or postgresql://USER@HOST/DATABASE"
        )
    if url.startswith(_POSTGRESQL_SCHEMES):
        _require_sound(url)
    return url


def _require_sound(url: str) -> None:
    # What urllib says of a faulty one can have a piece of a password.
    unsound = ValueError("is no URL; write what is special in a user or password as %XX, or use password_file")
    try:
        parts = urlsplit(url)
        names = {name for name, _ in parse_qsl(parts.query, strict_parsing=bool(parts.query))}
        for host in parts.netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        raise unsound from None
    if parts.fragment or "@" in parts.path + parts.query:
        raise unsound
    if names & {"host", "port"}:
        raise ValueError("must have hosts and ports before the path, as in postgresql://sale@db1,db2:5433/sale")


StoreUrl = Annotated[str, AfterValidator(_require_store_url)]


class StoreSettings(Section):
    """Where sessions are stored."""

    url: StoreUrl = "sqlite:///var/sale.db"
    """`sqlite:///PATH`, or `postgresql://` as libpq knows it, with several hosts and `sslmode` if need be."""
    password: SecretStr | None = None
    """For PostgreSQL, so that it need not be in the URL."""
    password_file: KeyFileSetting = None
    """A file with the password instead; it is read again for every connection."""
    connections: Annotated[int, Field(ge=3, le=1000)] = 10
    """How many a process has to PostgreSQL at most."""
    statement_timeout: DurationSetting = timedelta(seconds=3)
    """How long a statement of a request may take on PostgreSQL."""

    @model_validator(mode="after")
    def _require_password_once(self) -> "StoreSettings":
        if self.password is not None and self.password_file is not None:
            raise ValueError("password: must not be set beside password_file")
        return self

    @property
    def path(self) -> Path | None:
        """The file of an SQLite store."""
        return Path(self.url.removeprefix(_SQLITE_SCHEME)) if self.url.startswith(_SQLITE_SCHEME) else None

    @property
    def engine(self) -> str:
        """What the store is kept in, as OpenTelemetry's conventions name it."""
        return "postgresql" if self.path is None else "sqlite"

    @property
    def place(self) -> str:
        """Where it is, without the credentials."""
        if self.path is not None:
            return str(self.path)
        parts = urlsplit(self.url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"

    def read_password(self) -> str | None:
        """Return the password, as its file holds it now; None if the URL or libpq's own ways have it.

        Raises:
            OSError: the file can't be read.
        """
        if self.password_file is None:
            return self.password.get_secret_value() if self.password else None
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise OSError(errno.EILSEQ, "is not text") from None
