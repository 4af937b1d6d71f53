"""Fingerprints of the settings, for the audit log: they tell that a table has changed, and nothing of what is in it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.program.settings import HttpSettings, ListenerSettings
from service.program.settings import ServiceSettings
from service.program.store_settings import StoreSettings

_DIGITS = 16


def fingerprints(settings: ServiceSettings) -> Mapping[str, str]:
    """Return a fingerprint of each table of the settings, and of what its files hold now.

    Keys are part of it: they are random and long, so that nobody finds one by its hash. Passwords are not.

    Raises:
        ValueError: a file with keys can't be read.
        OSError: another one can't be.
    """
    return {name: _digest(_in_effect(getattr(settings, name), name, settings)) for name in type(settings).model_fields}


def _in_effect(value: Any, name: str, settings: ServiceSettings) -> Any:
    plain = _plain(value)
    match name:
        case "endpoints":
            keys = [endpoint.to_endpoint().control_keys for endpoint in settings.endpoints]
            return [plain, [[_hash(key.bytes) for key in each] for each in keys]]
        case "vault":
            return [plain, [_hash(key.to_key().secret) for key in settings.vault.keys]]
    if isinstance(value, ListenerSettings):
        ports = value.listeners().values() if isinstance(value, HttpSettings) else (value,)
        files = [path for port in ports for path in (port.tls_cert, port.client_ca)]
        return [plain, [path and _hash(path.read_bytes()) for path in files]]
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, StoreSettings):
        return {**_fields(value), "url": value.place}
    if isinstance(value, BaseModel):
        return _fields(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    return "set" if isinstance(value, SecretStr) else value if value is None else str(value)


def _fields(model: BaseModel) -> dict[str, Any]:
    return {name: _plain(getattr(model, name)) for name in type(model).model_fields}


def _digest(plain: Any) -> str:
    return _hash(json.dumps(plain, sort_keys=True).encode())[:_DIGITS]


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
