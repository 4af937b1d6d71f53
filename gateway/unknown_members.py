"""Members and parameters that no field is named for: ignored, as real clients send some, but not without a word.

A name is as free as a value: one that does not look like a name is not repeated, for it may be a secret in the wrong
place.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from google.protobuf.descriptor import Descriptor

_NAME = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}[0-9]{0,3}", re.ASCII)
_INDEX = re.compile(r"\[[0-9]+\]")
_NO_NAME = "?"
_PARTS = 6
_HINTS = 3
_ALIKE = 0.75


def named(paths: Sequence[str]) -> list[str]:
    """Return the JSON paths of ignored members as they may be logged: each once, without the indices of lists.

    Args:
        paths: as they were sent, each part at most as long as a body.
    """
    return list(dict.fromkeys(_named(path) for path in paths))


def _named(path: str) -> str:
    parts = _INDEX.sub("", path).split(".")[:_PARTS]
    return ".".join(part if _NAME.fullmatch(part) else _NO_NAME for part in parts)


class MemberNames:
    """The members that a message has in JSON.

    Args:
        descriptor: of the message.
        without: names of fields that have no place in the JSON.
    """

    def __init__(self, descriptor: Descriptor, without: Collection[str] = ()) -> None:
        self._paths = {path.lower(): path for path in _paths(descriptor, without)}

    def hint(self, ignored: Sequence[str]) -> str:
        """Return what to tell whose request was refused, of members that were ignored in it.

        Args:
            ignored: as `named` returns them.

        Returns:
            What to add to a message that names faulty fields; empty if there is nothing.
        """
        hints = [self._hint(path) for path in ignored[:_HINTS]]
        if len(ignored) > _HINTS:
            hints.append(f"{len(ignored) - _HINTS} more were ignored")
        return "".join(f"; {hint}" for hint in hints)

    def _hint(self, path: str) -> str:
        alike = get_close_matches(path.lower(), self._paths, n=1, cutoff=_ALIKE)
        meant = f", did you mean {self._paths[alike[0]]}?" if alike else ""
        return f"{path} is unknown and was ignored{meant}"


def _paths(descriptor: Descriptor, without: Collection[str] = (), above: str = "") -> Iterator[str]:
    for field in descriptor.fields:
        if field.name in without:
            continue
        yield above + field.json_name
        if field.message_type is not None and not field.message_type.file.package.startswith("google.protobuf"):
            yield from _paths(field.message_type, (), f"{above}{field.json_name}.")
