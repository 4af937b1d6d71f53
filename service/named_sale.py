"""The sale that a request names: found, compared with whoever asks, and told in the log."""

from hmac import compare_digest

from service.call_log import tell
from service.endpoints import Endpoints
from service.errors import ErrorReason, SaleError
from service.identifiers import hash_access_token
from service.signing import same
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


def is_of(sale: Sale, access_token: str, serial_number: str) -> bool:
    """Tell whether a sale was initiated with this access token from this device."""
    # Both comparisons are made whatever the first one gave, so that the time taken does not tell which one failed.
    return same(sale.serial_number, serial_number) & compare_digest(
        sale.access_token_hash, hash_access_token(access_token)
    )


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
