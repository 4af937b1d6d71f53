"""Members that no field is named for are told by name, and nothing that may be a secret is."""

from typing import Any

import pytest
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest

from gateway.unknown_members import MemberNames, named

DESCRIPTOR: Any = InitiateSaleRequest.DESCRIPTOR
MEMBERS = MemberNames(DESCRIPTOR)


def test_each_name_is_told_once_whatever_its_place_in_a_list() -> None:
    assert named(["transaction.fromBin", "items[0].id", "items[17].id"]) == ["transaction.fromBin", "items.id"]


@pytest.mark.parametrize(
    "secret", ["4444555566661111", "a" * 64, "01a1fd15-0828-7b1a", "", "a b", "\u0416", "a\n", "x" * 10_000]
)
def test_what_does_not_look_like_a_name_is_not_repeated(secret: str) -> None:
    assert named([f"session.{secret}"]) == ["session.?"]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("consumer.device.serial_number", "consumer.device.serialNumber"),
        ("consumer.device.serialnumber", "consumer.device.serialNumber"),
        ("consumer.ipAdresses", "consumer.ipAddresses"),
        ("transaction.amount", "transaction.amountCentis"),
        ("session.acessToken", "session.accessToken"),
    ],
)
def test_who_misspelt_a_member_is_told_what_was_meant(sent: str, meant: str) -> None:
    assert MEMBERS.hint([sent]) == f"; {sent} is unknown and was ignored, did you mean {meant}?"


def test_what_is_like_nothing_is_only_named_and_of_many_the_first() -> None:
    assert MEMBERS.hint(["colour"]) == "; colour is unknown and was ignored"
    assert MEMBERS.hint([*"abcde"]).endswith("; c is unknown and was ignored; 2 more were ignored")
    assert MEMBERS.hint([]) == ""


def test_a_field_of_the_path_is_no_member() -> None:
    members = MemberNames(DESCRIPTOR, without={"session", "transaction"})

    assert "did you mean" not in members.hint(["session.accessTokens"])
