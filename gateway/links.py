"""OpenAPI links: how the answer of one operation leads to another one.

In this API what has one JSON path is one thing everywhere: the `session.nonce` of an answer is the `session.nonce` of
the request that follows. So an operation is linked to every other one of whose required values it has answered any;
what the request said, and the next one needs again, goes along.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.routes import HttpRoute

Path = tuple[str, ...]


def links_between(source: HttpRoute, targets: Iterable[HttpRoute]) -> dict[str, dict[str, Any]]:
    """Return the Link Objects from one operation's answer, by the name of where they lead.

    Args:
        source: the operation that was answered.
        targets: those that may follow.
    """
    answered = {path: f"$response.body#/{'/'.join(path)}" for path, _ in _leaves(source.rpc.output_type)}
    said = {path: _from_request(source, path, field) for path, field in _leaves(source.rpc.input_type)}
    links = {}
    for target in targets:
        needed = {path: field for path, field in _needed(target) if path in answered or path in said}
        if target.has_body and any(path in answered for path in needed):
            links[target.rpc.name] = _link(target, needed, {**said, **answered})
    return links


def _needed(target: HttpRoute) -> Iterator[tuple[Path, FieldDescriptor]]:
    for path, field in _leaves(target.rpc.input_type):
        if field.GetOptions().Extensions[validate_pb2.field].required:
            yield path, field


def _link(target: HttpRoute, needed: dict[Path, FieldDescriptor], known: dict[Path, str]) -> dict[str, Any]:
    link: dict[str, Any] = {"operationId": target.rpc.name}
    for path, field in needed.items():
        if len(path) == 1 and field.name in target.path_fields:
            link.setdefault("parameters", {})[field.name] = known[path]
        else:
            body = link.setdefault("requestBody", {})
            for name in path[:-1]:
                body = body.setdefault(name, {})
            body[path[-1]] = known[path]
    return link


def _from_request(source: HttpRoute, path: Path, field: FieldDescriptor) -> str:
    if len(path) == 1 and field.name in source.path_fields:
        return f"$request.path.{field.name}"
    return f"$request.body#/{'/'.join(path)}"


def _leaves(message: Descriptor, above: Path = ()) -> Iterator[tuple[Path, FieldDescriptor]]:
    """Yield the JSON path of every value that is no list and no object."""
    for field in message.fields:
        path = (*above, field.json_name)
        if field.message_type is not None and not field.is_repeated:
            yield from _leaves(field.message_type, path)
        elif not field.is_repeated:
            yield path, field
