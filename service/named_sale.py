"""The sale that a request names: found, and told in the log."""

from service.call_log import tell
from service.endpoints import Endpoints
from service.errors import ErrorReason, SaleError
from service.store import Sale, Store


async def find_named_sale(store: Store, invoice_id: str) -> Sale:
    """Return the sale that an invoice id names.

    Raises:
        SaleError: `ERROR_REASON_INVOICE_NOT_FOUND`.
    """
    sale = await store.find_sale(invoice_id)
    if sale is None:
        raise SaleError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND)
    return sale


def bind_to_log(sale: Sale, endpoints: Endpoints) -> None:
    """Name a sale in everything that is logged of this request, here and at a gateway that has sent it on.

    Args:
        sale: the sale; its invoice id is what the caller has sent, or may know.
        endpoints: among which is the sale's, if it is configured.
    """
    endpoint = endpoints.find(sale.endpoint_id)
    tell(
        invoice_id=sale.invoice_id,
        endpoint_id=sale.endpoint_id,
        provider=endpoint.provider if endpoint else None,
    )
