"""What the contract says of every answer over HTTP."""

import json
from typing import Any

from connectingparty.sale.v1.error_reason_pb2 import ErrorCause, ErrorKind, ErrorReason, error_kind

KINDS: dict[int, ErrorKind] = {
    value.number: value.GetOptions().Extensions[error_kind] for value in ErrorReason.DESCRIPTOR.values
}
MALFORMED = ErrorReason.ERROR_REASON_MALFORMED_REQUEST
_CAUSES = {cause.number: cause.name.removeprefix("ERROR_CAUSE_") for cause in ErrorCause.DESCRIPTOR.values}
_REQUIRED_HEADERS = (("content-type", "application/json"), ("cache-control", "no-store"))


def code_of(status: int, headers: dict[str, str], body: bytes, invoice_id: str | None = None) -> int:
    """Return the `error.code` of an answer, 0 of a success, after a look at all that the contract says of it.

    Args:
        status: of HTTP.
        headers: names in lower case.
        body: as it was received.
        invoice_id: the one in the path, if there is one: an error has to name it.

    Raises:
        AssertionError: the answer is outside the contract, or of cause SERVER_FAILED.
    """
    assert dict(_REQUIRED_HEADERS).items() <= headers.items(), headers
    assert int(headers["content-length"]) == len(body)
    assert headers["x-request-id"]
    document: dict[str, Any] = json.loads(body)
    assert isinstance(document, dict)
    if status == 200:
        assert "error" not in document
        return 0
    error = document["error"]
    assert error.keys() == {"cause", "code", "message"}, error
    kind = KINDS[int(error["code"])]
    assert str(int(error["code"])) == error["code"]
    assert (status, error["cause"]) == (kind.http_status, _CAUSES[kind.cause]), error
    assert kind.cause != ErrorCause.ERROR_CAUSE_SERVER_FAILED, error
    # Nothing of what is hostile comes back: messages are words of ours and paths of the proto.
    assert error["message"].isascii(), error
    assert error["message"].isprintable(), error
    assert document.keys() - {"error"} <= {"invoiceId"}
    assert invoice_id is None or document["invoiceId"] == invoice_id
    return int(error["code"])
