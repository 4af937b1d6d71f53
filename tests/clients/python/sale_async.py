"""Initiates ten sales at once, prints them, and shows what is told of one that is refused: an asynchronous channel."""

import asyncio
import os
import sys

import grpc
from connectingparty.sale.v1.access_token_service_pb2 import RequestAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status


async def main(target: str, key: str | None) -> None:
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    async with grpc.aio.insecure_channel(target) as channel:
        tokens, sales = AccessTokenServiceStub(channel), SaleServiceStub(channel)
        token = await tokens.RequestAccessToken(RequestAccessTokenRequest(), timeout=5, metadata=metadata)
        request = InitiateSaleRequest(
            consumer=InitiateSaleRequest.Consumer(device=InitiateSaleRequest.Device(serial_number="R58M123ABC")),
            session=InitiateSaleRequest.Session(access_token=token.session.access_token),
            transaction=InitiateSaleRequest.Transaction(amount_centis=1042, currency="EUR"),
        )
        calls = (sales.InitiateSale(request, timeout=5, metadata=metadata) for _ in range(10))
        for sale in await asyncio.gather(*calls):
            print(sale.invoice_id, sale.session.nonce, sale.session.signature)

        request.transaction.amount_centis = 0
        try:
            await sales.InitiateSale(request, timeout=5, metadata=metadata)
        except grpc.aio.AioRpcError as refusal:
            info, faults = ErrorInfo(), BadRequest()
            for detail in Status.FromString(refusal.trailing_metadata()["grpc-status-details-bin"]).details:
                _ = detail.Unpack(info) or detail.Unpack(faults)
            print(refusal.code().name, ErrorReason.Value(info.reason), refusal.details())
            for fault in faults.field_violations:
                print(fault.field, fault.description)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051", os.environ.get("KEY")))
