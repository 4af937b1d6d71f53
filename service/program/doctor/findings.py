"""What a check has found."""

from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

SOON = timedelta(days=30)
"""How long before its end a certificate is told."""


class Grade(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    """It serves, and somebody should look at it."""
    FAIL = "FAIL"
    """It does not serve, or is going to lose something."""


class Finding(NamedTuple):
    """What a check has found."""

    check: str
    """What was looked at: a setting, or what it is about."""
    grade: Grade
    found: str
    advice: str = ""
    """What to do about it."""


def counted(number: int, noun: str) -> str:
    """Return a number of things, as in `1 key` and `2 keys`.

    Args:
        number: how many.
        noun: what one of them is called.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
