"""The pages under `/docs`: the reference, the signature debugger, the errors and, in development mode, the sales.

Plain HTML and a few small scripts, all from this package: they work without the internet. A server without these pages
imports nothing but this module of them.
"""

from typing import NamedTuple


class Development(NamedTuple):
    """What the pages have in development mode only: sales, and a control key that everybody knows."""

    control_key: str | None
    """Filled in where a page asks for one; None where the endpoints are not those of development mode."""
