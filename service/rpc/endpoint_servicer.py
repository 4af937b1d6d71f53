"""The rpc of endpoints: what of their configuration may be told."""

from typing import Any

import grpc
from connectingparty.sale.v1.endpoint_service_pb2 import Endpoint, ListEndpointsRequest, ListEndpointsResponse
from connectingparty.sale.v1.endpoint_service_pb2_grpc import EndpointServiceServicer

from service import endpoints

Context = grpc.aio.ServicerContext[Any, Any]


class EndpointServicer(EndpointServiceServicer):
    """`connectingparty.sale.v1.EndpointService` over the endpoints of the domain."""

    def __init__(self, endpoints: endpoints.Endpoints) -> None:
        self._endpoints = endpoints

    async def ListEndpoints(self, request: ListEndpointsRequest, context: Context) -> ListEndpointsResponse:
        """See the proto."""
        return ListEndpointsResponse(endpoints=[_message(endpoint) for endpoint in self._endpoints.list()])


def _message(endpoint: endpoints.Endpoint) -> Endpoint:
    random_sum = endpoint.random_sum_centis
    return Endpoint(
        endpoint_id=endpoint.id,
        provider=endpoint.provider,
        currencies=sorted(endpoint.currencies),
        amount_centis=Endpoint.CentisRange(min=endpoint.min_centis, max=endpoint.max_centis),
        is_default=endpoint.default,
        signature_case=Endpoint.SignatureCase.Value(f"SIGNATURE_CASE_{endpoint.signature_case.upper()}"),
        random_sum_centis=random_sum and Endpoint.CentisRange(min=random_sum.min, max=random_sum.max),
        control_key_count=len(endpoint.control_keys),
        knows_payment_gateway=endpoint.payment_gateway is not None,
    )
