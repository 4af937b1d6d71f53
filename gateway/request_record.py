"""What is known of a request, for its line in the log."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class RequestRecord:
    """What the line about one request will say."""

    request_id: str
    """From X-Request-Id, or made here."""
    route: str | None = None
    """The path as the proto has it; None if there is no such path. What was requested is not logged: it may hold a
    secret."""
    status: int | None = None
    """HTTP status of the answer."""
    code: int | None = None
    """The `error.code` of the answer."""
    invoice_id: str | None = None
    endpoint_id: str | None = None
    provider: str | None = None
    ignored_members: list[str] | None = None
    """JSON paths of members, or names of parameters, that no field is named for."""

    def known(self) -> dict[str, Any]:
        """Return what is known."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def read_trailing_metadata(self, metadata: Any) -> None:
        """Take over what the service tells of the sale.

        Args:
            metadata: pairs of key and value.
        """
        for key, value in metadata or ():
            match key:
                case "invoice-id":
                    self.invoice_id = value
                case "endpoint-id":
                    self.endpoint_id = value
                case "provider":
                    self.provider = value
