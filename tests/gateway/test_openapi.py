"""The reference is made of the proto; what it must say is written here from the contract, by hand."""

import json
import re
from typing import Any

import pytest

from gateway.openapi import describe
from gateway.routes import annotated_routes

ALWAYS = "200 400 413 500 503 504"
STATUSES = {
    "get /auth/request-access-token": f"{ALWAYS} 404",
    "post /sale/initiate-sale": f"{ALWAYS} 401 403 409 415 422 429",
    "post /sale/{invoice_id}/check": f"{ALWAYS} 403 404 409 410 415",
    "post /sale/notification": f"{ALWAYS} 403 404 415",
    "post /cardrefs/{invoice_id}/get-client-ids": f"{ALWAYS} 401 403 404 415",
    "get /sale/callback": f"{ALWAYS} 403 404",
}
TOKEN = {"type": "string", "minLength": 32, "maxLength": 128, "pattern": r"^[^\u0000]*$"}


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    return describe(annotated_routes())


def operation(reference: dict[str, Any], name: str) -> dict[str, Any]:
    method, path = name.split()
    found: dict[str, Any] = reference["paths"][path][method]
    return found


def schema(reference: dict[str, Any], name: str, *members: str) -> dict[str, Any]:
    """Return a schema, and without its words: they are the proto's."""
    found = reference["components"]["schemas"][name]
    for member in members:
        found = found["properties"][member]
    return {key: value for key, value in found.items() if key != "description"}


def parameters(reference: dict[str, Any], name: str) -> dict[str, Any]:
    named = (
        reference["components"]["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for one in operation(reference, name)["parameters"]
    )
    return {one["name"]: one for one in named}


def test_it_has_the_operations_of_the_contract_with_every_status_that_they_answer(reference: dict[str, Any]) -> None:
    told = {
        f"{method} {path}": set(operation["responses"])
        for path, operations in reference["paths"].items()
        for method, operation in operations.items()
    }

    assert told == {name: set(statuses.split()) for name, statuses in STATUSES.items()}


def test_a_failure_has_the_codes_of_its_status(reference: dict[str, Any]) -> None:
    answer = operation(reference, "post /sale/initiate-sale")["responses"]["403"]["content"]["application/json"]

    assert answer["schema"]["$ref"] == "#/components/schemas/Error"
    assert answer["schema"]["properties"]["error"]["properties"]["code"]["enum"] == ["2001", "2002", "2003"]
    assert {example["value"]["error"]["cause"] for example in answer["examples"].values()} == {"FILTERED"}
    assert schema(reference, "Error")["required"] == ["error"]
    assert schema(reference, "Error", "invoiceId") == {"type": "string"}


def test_bounds_are_those_of_the_proto(reference: dict[str, Any]) -> None:
    assert schema(reference, "InitiateSaleRequest.Session", "accessToken") == TOKEN
    assert schema(reference, "InitiateSaleRequest.Transaction", "currency")["pattern"] == "^[A-Z]{3}$"
    addresses = schema(reference, "InitiateSaleRequest.Consumer", "ipAddresses")
    assert (addresses["maxItems"], addresses["items"]) == (64, {"type": "string", "format": "ipv4"})
    latitude = schema(reference, "Location", "lat")
    assert (latitude["minimum"], latitude["maximum"], latitude["type"]) == (-90, 90, ["number", "null"])


def test_an_integer_is_a_number_and_is_taken_as_a_string_too(reference: dict[str, Any]) -> None:
    bounds = {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1}
    number, text = schema(reference, "InitiateSaleRequest.Transaction", "amountCentis")["anyOf"]

    assert number == bounds
    assert text["type"] == "string"
    assert schema(reference, "CheckSaleResponse.Transaction", "randomSumCentis")["type"] == "integer"


def test_what_a_request_must_have_is_required_and_the_rest_may_be_null(reference: dict[str, Any]) -> None:
    request = schema(reference, "InitiateSaleRequest")

    assert request["required"] == ["consumer", "session", "transaction"]
    assert schema(reference, "InitiateSaleRequest.Transaction")["required"] == ["amountCentis", "currency"]
    assert {"type": "null"} in request["properties"]["location"]["anyOf"]
    assert "additionalProperties" not in request  # unknown members are ignored


def test_what_an_answer_always_has_is_required(reference: dict[str, Any]) -> None:
    assert schema(reference, "CheckSaleResponse")["required"] == ["invoiceId", "session"]
    assert schema(reference, "CheckSaleResponse.Session")["required"] == ["checkSignature", "nonce", "token"]
    assert schema(reference, "CheckSaleResponse.SourceOfFunds")["allOf"] == [
        {"not": {"required": ["card", "reference"]}}
    ]


def test_what_stands_in_the_path_is_not_in_the_body(reference: dict[str, Any]) -> None:
    assert parameters(reference, "post /sale/{invoice_id}/check")["invoice_id"]["in"] == "path"
    assert "invoiceId" not in schema(reference, "CheckSaleRequest")["properties"]


def test_a_callback_takes_parameters_that_nobody_knows(reference: dict[str, Any]) -> None:
    told = parameters(reference, "get /sale/callback")

    assert {name for name, one in told.items() if one.get("required")} == {
        "status",
        "orderid",
        "client_orderid",
        "control",
    }
    others = told["parameters"]
    assert (others["style"], others["explode"]) == ("form", True)
    assert others["schema"] == {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 200}


def test_headers_are_told_where_they_count(reference: dict[str, Any]) -> None:
    with_key = [name for name in STATUSES if "Idempotency-Key" in parameters(reference, name)]
    answers = operation(reference, "post /sale/initiate-sale")["responses"]

    assert with_key == ["post /sale/initiate-sale"]
    assert all("X-Request-Id" in parameters(reference, name) for name in STATUSES)
    assert all("X-Request-Id" in answer["headers"] for answer in answers.values())
    assert [status for status, answer in answers.items() if "Retry-After" in answer["headers"]] == [
        "409",
        "429",
        "503",
        "504",
    ]


def test_the_words_are_the_comments_of_the_proto(reference: dict[str, Any]) -> None:
    told = operation(reference, "get /auth/request-access-token")

    assert told["summary"] == "Makes an access token for a consumer's app that asks for one itself"
    assert told["description"].startswith(f"{told['summary']}. Answers 1004 PATH_NOT_FOUND where")
    assert [tag["name"] for tag in reference["tags"]] == ["AccessTokenService", "SaleService"]


def test_errors_are_called_by_their_codes_as_in_answers(reference: dict[str, Any]) -> None:
    names_of_examples = r'"ERROR_REASON_\w+": '
    told = re.sub(names_of_examples, "", json.dumps(reference))

    assert "are all 1106 CLIENT_CARD_NOT_FOUND." in told
    assert "ERROR_REASON_" not in told


def test_a_sale_leads_to_its_check_and_on(reference: dict[str, Any]) -> None:
    links = operation(reference, "post /sale/initiate-sale")["responses"]["200"]["links"]

    assert set(links) == {"CheckSale", "GetClientIds"}
    assert links["CheckSale"]["parameters"] == {"invoice_id": "$response.body#/invoiceId"}
    assert links["CheckSale"]["requestBody"] == {
        "consumer": {"device": {"serialNumber": "$request.body#/consumer/device/serialNumber"}},
        "session": {
            "accessToken": "$request.body#/session/accessToken",
            "nonce": "$response.body#/session/nonce",
            "signature": "$response.body#/session/signature",
        },
    }
