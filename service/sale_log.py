"""What the log says of the sale that a request is about."""

from structlog.contextvars import bind_contextvars

from service.endpoints import Endpoint
from service.store import Sale


def bind_to_log(sale: Sale, endpoint: Endpoint | None) -> None:
    """Name a sale in everything that is logged of this request, here and at a gateway that has sent it on.

    Args:
        sale: the sale; its invoice id is what the caller has sent, or may know.
        endpoint: the sale's, if it is configured.
    """
    bind_contextvars(
        invoice_id=sale.invoice_id,
        endpoint_id=sale.endpoint_id,
        provider=endpoint.provider if endpoint else None,
    )
