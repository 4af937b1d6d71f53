"""Who a caller is, by what it shows."""

import pytest
from connectingparty.sale.v1.access_pb2 import Role

from service.callers import Caller, Callers, Credentials, hash_key

READER = frozenset({Role.ROLE_READER})
BY_KEY = Caller("by-key", READER, key_hashes=frozenset({hash_key("old key"), hash_key("new key")}))
BY_CERTIFICATE = Caller("by-certificate", READER, certificate="reader.internal")
BY_BOTH = Caller("by-both", READER, certificate="both.internal", key_hashes=frozenset({hash_key("its key")}))
CALLERS = Callers([BY_KEY, BY_CERTIFICATE, BY_BOTH])


@pytest.mark.parametrize(
    ("key", "names", "caller"),
    [
        ("old key", [], BY_KEY),
        ("new key", ["unknown.internal"], BY_KEY),
        (None, ["unknown.internal", "reader.internal"], BY_CERTIFICATE),
        ("its key", ["both.internal"], BY_BOTH),
        (None, [], None),
        ("", [], None),
        ("other key", [], None),
        ("new key ", [], None),
        (None, ["unknown.internal"], None),
        (None, ["Reader.internal"], None),
        # A key that is wrong is not made up for.
        ("other key", ["reader.internal"], None),
        # Where both are needed, one is not enough.
        ("its key", ["reader.internal"], None),
        ("its key", [], None),
        (None, ["both.internal"], None),
    ],
)
def test_a_caller_is_known_by_a_key_a_certificate_or_both(
    key: str | None, names: list[str], caller: Caller | None
) -> None:
    assert CALLERS.identify(Credentials(None if key is None else hash_key(key), names)) is caller


@pytest.mark.parametrize(
    ("callers", "fault"),
    [
        (
            [BY_KEY, Caller("other", READER, key_hashes=BY_KEY.key_hashes)],
            "callers: by-key and other have the same key",
        ),
        (
            [BY_CERTIFICATE, Caller("other", READER, certificate="reader.internal")],
            "callers: by-certificate and other have the same certificate",
        ),
        ([BY_KEY, Caller("by-key", READER, certificate="other")], "callers: one name is there twice"),
    ],
)
def test_callers_that_cannot_be_told_apart_are_refused(callers: list[Caller], fault: str) -> None:
    known = Callers([BY_BOTH])

    with pytest.raises(ValueError, match=fault):
        known.replace(callers)

    assert known.identify(Credentials(hash_key("its key"), ["both.internal"])) is BY_BOTH


def test_no_role_includes_another() -> None:
    admin = Caller("admin", frozenset({Role.ROLE_ADMIN}), certificate="admin.internal")

    assert [role for role in Role.values() if admin.has(role)] == [Role.ROLE_UNSPECIFIED, Role.ROLE_ADMIN]
