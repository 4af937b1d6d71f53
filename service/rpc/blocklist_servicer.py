"""The rpcs of the blocklist: message in, one call on the domain, message out."""

from typing import Any

import grpc
from connectingparty.sale.v1.blocklist_service_pb2 import (
    AddBlockRequest,
    AddBlockResponse,
    ListBlocksRequest,
    ListBlocksResponse,
    RemoveBlockRequest,
    RemoveBlockResponse,
)
from connectingparty.sale.v1.blocklist_service_pb2_grpc import BlocklistServiceServicer

from service.blocklist import Blocklist
from service.origin import origin_of_call
from service.rpc.messages import block_kind_name, block_message, moment, optional

Context = grpc.aio.ServicerContext[Any, Any]


class BlocklistServicer(BlocklistServiceServicer):
    """`connectingparty.sale.v1.BlocklistService` over the domain's blocklist."""

    def __init__(self, blocklist: Blocklist) -> None:
        self._blocklist = blocklist

    async def AddBlock(self, request: AddBlockRequest, context: Context) -> AddBlockResponse:
        """See the proto."""
        block = await self._blocklist.add(
            block_kind_name(request.kind),
            request.value,
            request.reason,
            moment(request, "expire_time"),
            origin_of_call().caller,
        )
        return AddBlockResponse(block=block_message(block))

    async def RemoveBlock(self, request: RemoveBlockRequest, context: Context) -> RemoveBlockResponse:
        """See the proto."""
        await self._blocklist.remove(block_kind_name(request.kind), request.value)
        return RemoveBlockResponse()

    async def ListBlocks(self, request: ListBlocksRequest, context: Context) -> ListBlocksResponse:
        """See the proto."""
        kind = block_kind_name(request.kind) if request.kind else None
        blocks, token = await self._blocklist.list(kind, optional(request, "page_token"), request.page_size)
        return ListBlocksResponse(blocks=[block_message(block) for block in blocks], next_page_token=token)
