"""The rpcs: message in, one call on the domain, message out."""

from typing import Any

import grpc
from connectingparty.sale.v1.access_token_service_pb2 import (
    IssueAccessTokenRequest,
    IssueAccessTokenResponse,
    RequestAccessTokenRequest,
    RequestAccessTokenResponse,
    RevokeAccessTokenRequest,
    RevokeAccessTokenResponse,
)
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceServicer
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    CheckSaleResponse,
    InitiateSaleRequest,
    InitiateSaleResponse,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer
from google.protobuf.timestamp_pb2 import Timestamp

from service.access_tokens import AccessTokens
from service.idempotency import HEADER, parse_key
from service.rpc.interceptors import metadata_values
from service.sales import CheckSale, InitiateSale, Sales

Context = grpc.aio.ServicerContext[Any, Any]


class SaleServicer(SaleServiceServicer):
    """`connectingparty.sale.v1.SaleService` over the domain's sales."""

    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def InitiateSale(self, request: InitiateSaleRequest, context: Context) -> InitiateSaleResponse:
        """See the proto."""
        consumer, location, transaction = request.consumer, request.location, request.transaction
        sale = await self._sales.initiate(
            InitiateSale(
                access_token=request.session.access_token,
                serial_number=consumer.device.serial_number,
                amount_centis=transaction.amount_centis,
                currency=transaction.currency,
                imei=consumer.device.imei if consumer.device.HasField("imei") else None,
                ip_addresses=tuple(consumer.ip_addresses),
                lat=location.lat if location.HasField("lat") else None,
                lng=location.lng if location.HasField("lng") else None,
            ),
            parse_key(metadata_values(context, HEADER.lower())),
        )
        return InitiateSaleResponse(
            endpoint_id=sale.endpoint_id,
            invoice_id=sale.invoice_id,
            session=InitiateSaleResponse.Session(nonce=sale.nonce, signature=sale.signature),
        )

    async def CheckSale(self, request: CheckSaleRequest, context: Context) -> CheckSaleResponse:
        """See the proto."""
        session, reference = request.session, request.source_of_funds.reference
        confirmed = await self._sales.check(
            CheckSale(
                invoice_id=request.invoice_id,
                access_token=session.access_token,
                serial_number=request.consumer.device.serial_number,
                nonce=session.nonce,
                signature=session.signature,
                session_token=session.token,
                client_card_id=reference.client_card_id if reference.HasField("client_card_id") else None,
            )
        )
        return CheckSaleResponse(
            invoice_id=confirmed.sale.invoice_id,
            session=CheckSaleResponse.Session(
                check_signature=confirmed.check_signature,
                nonce=confirmed.sale.nonce,
                token=confirmed.session_token,
            ),
            transaction=CheckSaleResponse.Transaction(currency=confirmed.sale.currency),
        )


class AccessTokenServicer(AccessTokenServiceServicer):
    """`connectingparty.sale.v1.AccessTokenService` over the domain's access tokens."""

    def __init__(self, access_tokens: AccessTokens) -> None:
        self._access_tokens = access_tokens

    async def RequestAccessToken(
        self, request: RequestAccessTokenRequest, context: Context
    ) -> RequestAccessTokenResponse:
        """See the proto."""
        token = await self._access_tokens.request()
        return RequestAccessTokenResponse(session=RequestAccessTokenResponse.Session(access_token=token))

    async def IssueAccessToken(self, request: IssueAccessTokenRequest, context: Context) -> IssueAccessTokenResponse:
        """See the proto."""
        token, expires_at = await self._access_tokens.issue(
            request.endpoint_id if request.HasField("endpoint_id") else None,
            request.ttl.ToTimedelta() if request.HasField("ttl") else None,
        )
        timestamp = Timestamp()
        timestamp.FromDatetime(expires_at)
        return IssueAccessTokenResponse(access_token=token, expires_at=timestamp)

    async def RevokeAccessToken(self, request: RevokeAccessTokenRequest, context: Context) -> RevokeAccessTokenResponse:
        """See the proto."""
        await self._access_tokens.revoke(request.access_token)
        return RevokeAccessTokenResponse()
