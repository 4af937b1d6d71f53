"""What to do about each kind of error, beyond what its message can say."""

from collections.abc import Mapping

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

ADVICE: Mapping[int, str] = {
    ErrorReason.ERROR_REASON_MALFORMED_REQUEST: (
        "Send one JSON object in UTF-8. Names must not come twice, and there must be nothing after the object."
    ),
    ErrorReason.ERROR_REASON_INVALID_FIELD: (
        "The message names every field that is wrong, and what it has to be. Correct all of them at once."
    ),
    ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE: "Send the header `Content-Type: application/json`, once.",
    ErrorReason.ERROR_REASON_BODY_TOO_LARGE: (
        "No request of this API needs so much. The operator sets the bound by `http.max_body`."
    ),
    ErrorReason.ERROR_REASON_PATH_NOT_FOUND: (
        "Compare the path with the reference: case and slashes count. An operator can turn access tokens off here"
        " (`access_tokens.public`), and give the payment gateways' operations a port of their own."
    ),
    ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED: "Use a method that the header `Allow` of the answer lists.",
    ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID: (
        "Get a new access token as you got this one. Tokens expire; the operator sets when by `access_tokens.ttl`."
    ),
    ErrorReason.ERROR_REASON_SESSION_MISMATCH: (
        "Compare access token, serial number, nonce and signature with what initiate sale was sent and has answered,"
        " byte for byte. Where you compute the signature yourself, paste it into the signature debugger."
    ),
    ErrorReason.ERROR_REASON_SESSION_EXPIRED: (
        "Initiate a new sale. The operator sets by `sessions.ttl` how long a session can be checked."
    ),
    ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND: (
        "Use the `invoiceId` that initiate sale has answered, at the same server. For a notification: check the sale"
        " first, with the same `session.token`."
    ),
    ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED: (
        "Send the check with the `session.token` of the first one to get the same answer again; for another attempt to"
        " pay, initiate a new sale."
    ),
    ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND: (
        "Use a `clientCardId` that was made for this consumer. It is there once the payment gateway has sent its"
        " notification with a `serverCardId`."
    ),
    ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED: (
        "Use one Idempotency-Key for one sale: a new one for a new sale, and the same one only to send the same again."
    ),
    ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_IN_USE: "Wait as `Retry-After` says, and send the same request again.",
    ErrorReason.ERROR_REASON_CONTROL_MISMATCH: (
        "Compute `control` with the control key as it is written, dashes and all, in plain SHA-1. Paste yours into the"
        " signature debugger to see what is wrong with it."
    ),
    ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED: (
        "Send the metadata `authorization: Bearer KEY` with a key of `callers` in the settings, or a client"
        " certificate."
    ),
    ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED: (
        "Give the caller the role that the rpc asks for (`callers.roles`), or send from an address that the endpoint's"
        " `payment_gateway` names."
    ),
    ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_LIMITS: (
        "Amounts are in centis: 10.42 EUR is 1042. The operator sets the limits by `min_centis` and `max_centis` of the"
        " endpoint."
    ),
    ErrorReason.ERROR_REASON_CURRENCY_NOT_ACCEPTED: (
        "Use a currency that an endpoint takes; the operator lists them in `currencies` of the endpoint."
    ),
    ErrorReason.ERROR_REASON_BLOCKED: "Ask the merchant: only who has blocked it can say why, and lift it.",
    ErrorReason.ERROR_REASON_TOO_MANY_SALES: (
        "Wait as `Retry-After` says. The operator sets how much may be sold by `sale_limits`."
    ),
    ErrorReason.ERROR_REASON_SERVER_FAILED: (
        "Give the operator the incident id of the message; the server's log has the cause under it."
    ),
    ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE: (
        "Wait as `Retry-After` says and send the same request again; with an Idempotency-Key no sale is opened twice."
    ),
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED: (
        "Send the same request again; with an Idempotency-Key no sale is opened twice. Checks, notifications and"
        " callbacks can always be sent again."
    ),
}
"""By code; backticks as in the comments of the proto."""
