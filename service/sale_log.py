"""What the log says of the sale that a request is about."""

from structlog.contextvars import bind_contextvars

from service.endpoints import Endpoint
from service.store import Sale


def bind_to_log(sale: Sale, endpoint: Endpoint | None) -> None:
    """Name a sale in everything that is logged of this request, and to the caller where it is refused.

    Args:
        sale: the sale; the caller is known to be allowed to know of it.
        endpoint: the sale's, if it is configured.
    """
    bind_contextvars(
        invoice_id=sale.invoice_id,
        endpoint_id=sale.endpoint_id,
        provider=endpoint.provider if endpoint else None,
    )
