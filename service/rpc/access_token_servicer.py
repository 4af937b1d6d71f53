"""The rpcs of access tokens: message in, one call on the domain, message out."""

from typing import Any

import grpc
from connectingparty.sale.v1.access_token_service_pb2 import (
    IssueAccessTokenRequest,
    IssueAccessTokenResponse,
    RequestAccessTokenRequest,
    RequestAccessTokenResponse,
    RevokeAccessTokenRequest,
    RevokeAccessTokenResponse,
    RevokeConsumerTokensRequest,
    RevokeConsumerTokensResponse,
)
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceServicer

from service.access_tokens import AccessTokens, Binding
from service.rpc.messages import optional, period, timestamp

Context = grpc.aio.ServicerContext[Any, Any]


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
        token, expire_time = await self._access_tokens.issue(
            Binding(
                endpoint_id=optional(request, "endpoint_id"),
                consumer_id=optional(request, "consumer_id"),
                email=optional(request, "email"),
                serial_number=optional(request, "serial_number"),
            ),
            period(request, "ttl"),
        )
        return IssueAccessTokenResponse(access_token=token, expire_time=timestamp(expire_time))

    async def RevokeAccessToken(self, request: RevokeAccessTokenRequest, context: Context) -> RevokeAccessTokenResponse:
        """See the proto."""
        await self._access_tokens.revoke(request.access_token)
        return RevokeAccessTokenResponse()

    async def RevokeConsumerTokens(
        self, request: RevokeConsumerTokensRequest, context: Context
    ) -> RevokeConsumerTokensResponse:
        """See the proto."""
        count = await self._access_tokens.revoke_of_consumer(request.consumer_id)
        return RevokeConsumerTokensResponse(revoked_count=count)
