"""The HTTP routes, read off the google.api.http annotations of the proto."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import NamedTuple

import connectingparty.sale.v1
from connectingparty.sale.v1.access_pb2 import Party, access
from google.api.annotations_pb2 import http
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

_PATH_FIELD = re.compile(r"{(\w+)}")


class HttpRoute(NamedTuple):
    """One rpc as a route."""

    http_method: str
    path: str
    """With the fields of the request that stand in it, as in `/sale/{invoice_id}/check`."""
    has_body: bool
    """Whether the body holds the fields that are not in the path; otherwise the query does."""
    rpc: MethodDescriptor
    party: Party.ValueType
    """Who sends it."""

    @property
    def path_fields(self) -> frozenset[str]:
        """The fields of the request that stand in the path."""
        return frozenset(_PATH_FIELD.findall(self.path))


def annotated_routes() -> Iterator[HttpRoute]:
    """Yield a route for every rpc of the generated package that has one.

    Raises:
        TypeError: an annotation says what this gateway can't do.
    """
    for file in _generated_files():
        for service in file.services_by_name.values():
            for rpc in service.methods:
                if rpc.GetOptions().HasExtension(http):
                    yield _route(rpc, rpc.GetOptions().Extensions[http])


def _generated_files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(connectingparty.sale.v1.__path__):
        if module.name.endswith("_pb2"):
            yield import_module(f"connectingparty.sale.v1.{module.name}").DESCRIPTOR


def _route(rpc: MethodDescriptor, rule: HttpRule) -> HttpRoute:
    pattern = rule.WhichOneof("pattern")
    if pattern is None or pattern == "custom" or rule.body not in ("", "*") or rule.additional_bindings:
        raise TypeError(f"{rpc.full_name}: this form of google.api.http is not known")
    return HttpRoute(
        pattern.upper(), getattr(rule, pattern), bool(rule.body), rpc, rpc.GetOptions().Extensions[access].party
    )
