"""Requests that every rpc takes, built from the proto: a new rpc needs nothing here."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from buf.validate import validate_pb2
from connectingparty.sale import v1
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_INTEGERS = {FieldDescriptor.CPPTYPE_INT32: "int32", FieldDescriptor.CPPTYPE_INT64: "int64"}


def every_rpc() -> list[MethodDescriptor]:
    """Return the rpcs of the proto."""
    modules = (module.name for module in pkgutil.iter_modules(v1.__path__) if module.name.endswith("_pb2"))
    return [
        rpc
        for name in modules
        for service in import_module(f"{v1.__name__}.{name}").DESCRIPTOR.services_by_name.values()
        for rpc in service.methods
    ]


def request_of(rpc: MethodDescriptor, objects: Mapping[str, Any]) -> Message:
    """Return a request that is within the bounds.

    Args:
        rpc: of which.
        objects: values by the names of fields, wherever those are; other required fields get the least that is within
            their bounds.
    """
    message: Message = GetMessageClass(rpc.input_type)()
    _fill(message, objects)
    return message


def fields_in(message: Any) -> set[str]:
    """Return the names of the fields that are no messages, at any depth.

    Args:
        message: the descriptor of one; its stub names two classes that are one.
    """
    names: set[str] = set()
    for field in message.fields:
        names |= {field.name} if field.message_type is None else fields_in(field.message_type)
    return names


def _fill(message: Message, objects: Mapping[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if field.is_repeated:
            continue
        if field.message_type is not None:
            if rules.required or fields_in(field.message_type) & objects.keys():
                inner = getattr(message, field.name)
                inner.SetInParent()
                _fill(inner, objects)
        elif field.name in objects:
            setattr(message, field.name, objects[field.name])
        elif not field.has_presence:
            setattr(message, field.name, _least(field, rules))


def _least(field: Any, rules: Any) -> Any:
    if field.enum_type is not None:
        return next(iter(getattr(rules.enum, "in")), int(rules.required))
    if (kind := _INTEGERS.get(field.cpp_type)) is not None:
        bounds = getattr(rules, kind)
        return bounds.gt + 1 if bounds.HasField("gt") else bounds.gte
    return "x" * (rules.string.min_len or int(rules.required))
