"""A request and what came back, as it was sent and received."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_SHOWN = 300
"""How many characters of an answer are told where not all are asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and its answer or why there is none."""

    request: Request
    status: int = 0
    """0 where no answer came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names are in lower case."""
    body: bytes = b""
    seconds: float = 0.0
    failure: str = ""
    """Why there is no answer."""

    @property
    def document(self) -> dict[str, Any] | None:
        """The body where it is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def error(self) -> dict[str, Any] | None:
        """The `error` of the body where it is an object."""
        error = (self.document or {}).get("error")
        return error if isinstance(error, dict) else None

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()

    def told(self, limit: int | None = MAX_SHOWN) -> str:
        """Return the answer in one line.

        Args:
            limit: how many characters of its body; None for all.
        """
        if self.failure:
            return self.failure
        text = self.body.decode(errors="backslashreplace").replace("\n", " ").strip()
        if limit is not None and len(text) > limit:
            text = f"{text[:limit]}... ({len(self.body)} bytes)"
        media = "" if self.media_type == "application/json" else f" {self.media_type or 'without a Content-Type'}"
        return f"HTTP {self.status}{media} {text or 'with an empty body'}"
