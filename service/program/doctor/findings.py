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
