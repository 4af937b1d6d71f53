"""One way to say a thing, over JSON and over gRPC: what a test expects of one, it expects of both."""

import json
from typing import Any, NamedTuple, Protocol

import grpc
import httpx2
from connectingparty.sale.v1.access_token_service_pb2 import RequestAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from connectingparty.sale.v1.blocklist_service_pb2_grpc import BlocklistServiceStub
from connectingparty.sale.v1.card_service_pb2_grpc import CardServiceStub
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    GetClientIdsRequest,
    InitiateSaleRequest,
    NotifyCardMappingRequest,
    ReceiveCallbackRequest,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

CALLBACK_FIELDS = {"status", "orderid", "client_orderid", "type", "amount", "control"}
"""What the contract names of a callback; the rest goes along as it is."""


class Answer(NamedTuple):
    """What came back, in the words of the JSON contract."""

    code: int
    """The `error.code`, 0 for a success."""
    body: dict[str, Any]
    """Of a success the document, of a failure its `error` and `invoiceId`."""

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Transport(Protocol):
    """A client of the server."""

    def request_access_token(self) -> str: ...

    def initiate(self, document: dict[str, Any], idempotency_key: str | None = None) -> Answer: ...

    def check(self, invoice_id: str, document: dict[str, Any]) -> Answer: ...

    def notify(self, document: dict[str, Any]) -> Answer: ...

    def client_ids(self, invoice_id: str, document: dict[str, Any]) -> Answer: ...

    def callback(self, parameters: dict[str, str]) -> Answer: ...


class OverHttp:
    """The app and the payment gateway."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    def request_access_token(self) -> str:
        response = self.client.get("/auth/request-access-token", headers={"Content-Type": "application/json"})
        return str(response.json()["session"]["accessToken"])

    def initiate(self, document: dict[str, Any], idempotency_key: str | None = None) -> Answer:
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._post("/sale/initiate-sale", document, headers)

    def check(self, invoice_id: str, document: dict[str, Any]) -> Answer:
        return self._post(f"/sale/{invoice_id}/check", document, {})

    def notify(self, document: dict[str, Any]) -> Answer:
        return self._post("/sale/notification", document, {})

    def client_ids(self, invoice_id: str, document: dict[str, Any]) -> Answer:
        return self._post(f"/cardrefs/{invoice_id}/get-client-ids", document, {})

    def callback(self, parameters: dict[str, str]) -> Answer:
        return answer_of(self.client.get("/sale/callback", params=parameters))

    def _post(self, path: str, document: dict[str, Any], headers: dict[str, str]) -> Answer:
        # Escaped, so that lone surrogates can be sent too.
        content = json.dumps(document).encode()
        response = self.client.post(path, content=content, headers={"Content-Type": "application/json", **headers})
        return answer_of(response)


def answer_of(response: httpx2.Response) -> Answer:
    """Return an answer after a look at all that the contract says of every answer."""
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.content)
    if response.status_code == 200:
        assert "error" not in body
        return Answer(0, body)
    assert body.keys() - {"invoiceId"} == {"error"}
    assert body["error"].keys() == {"cause", "code", "message"}
    return Answer(int(body["error"]["code"]), body)


class OverGrpc:
    """An internal microservice with the generated stubs."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.sales = SaleServiceStub(channel)
        self.access_tokens = AccessTokenServiceStub(channel)
        self.cards = CardServiceStub(channel)
        self.blocklist = BlocklistServiceStub(channel)

    def request_access_token(self) -> str:
        return self.access_tokens.RequestAccessToken(RequestAccessTokenRequest(), timeout=20).session.access_token

    def initiate(self, document: dict[str, Any], idempotency_key: str | None = None) -> Answer:
        request = json_format.ParseDict(document, InitiateSaleRequest())
        metadata = [] if idempotency_key is None else [("idempotency-key", idempotency_key)]
        return self._call(self.sales.InitiateSale, request, metadata)

    def check(self, invoice_id: str, document: dict[str, Any]) -> Answer:
        request = json_format.ParseDict({"invoiceId": invoice_id, **document}, CheckSaleRequest())
        return self._call(self.sales.CheckSale, request, [])

    def notify(self, document: dict[str, Any]) -> Answer:
        return self._call(self.sales.NotifyCardMapping, json_format.ParseDict(document, NotifyCardMappingRequest()), [])

    def client_ids(self, invoice_id: str, document: dict[str, Any]) -> Answer:
        request = json_format.ParseDict({"invoiceId": invoice_id, **document}, GetClientIdsRequest())
        return self._call(self.sales.GetClientIds, request, [])

    def callback(self, parameters: dict[str, str]) -> Answer:
        request = ReceiveCallbackRequest()
        for name, value in parameters.items():
            if name in CALLBACK_FIELDS:
                setattr(request, name, value)
            else:
                request.parameters.add(name=name, value=value)
        return self._call(self.sales.ReceiveCallback, request, [])

    def _call(self, method: Any, request: Any, metadata: list[tuple[str, str]]) -> Answer:
        try:
            response = method(request, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error_answer(error)
        body = json_format.MessageToDict(response)
        # protobuf's JSON writes 64-bit integers as strings; the contract's are numbers.
        if "randomSumCentis" in body.get("transaction", {}):
            body["transaction"]["randomSumCentis"] = int(body["transaction"]["randomSumCentis"])
        return Answer(0, body)


def error_answer(error: Any) -> Answer:
    """Return a failure after a look at all that the contract says of every failure over gRPC."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    assert status.code == error.code().value[0]
    info, bad_request = ErrorInfo(), BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad_request)
    assert info.domain == "connectingparty.sale.v1"
    reason = ErrorReason.Value(info.reason)
    assert bool(bad_request.field_violations) == (reason == ErrorReason.ERROR_REASON_INVALID_FIELD)
    for violation in bad_request.field_violations:
        assert f"{violation.field} {violation.description}" in error.details()
    body: dict[str, Any] = {"error": {"message": error.details()}}
    if "invoice_id" in info.metadata:
        body["invoiceId"] = info.metadata["invoice_id"]
    return Answer(int(reason), body)
