"""The steps of a schema: files of SQL in a package, numbered from 0001."""

from importlib.resources import files
from importlib.resources.abc import Traversable


class SchemaMismatch(RuntimeError):
    """The schema is not one that this version of the program works with; the message tells what to do."""


def refuse_newer(version: int, known: int) -> None:
    """Refuse a schema that a newer version of the program has made.

    Raises:
        SchemaMismatch: it is one.
    """
    if version > known:
        raise SchemaMismatch(f"the schema is version {version}, this program knows {known}: install a newer one")


def require_current(version: int, known: int) -> None:
    """Refuse a schema that is not the one that this version of the program works with.

    Raises:
        SchemaMismatch: it is older or newer.
    """
    refuse_newer(version, known)
    if version < known:
        raise SchemaMismatch(f"the schema is version {version}, this program needs {known}: run sale-service migrate")


def numbered_steps(package: str) -> list[Traversable]:
    """Return the steps that a package has, in their order."""
    return sorted((step for step in files(package).iterdir() if step.name.endswith(".sql")), key=lambda step: step.name)
