"""Options of commands that are fields of a request: what they are called, take and mean is read off the proto."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from connectingparty.comments import COMMENTS
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.program.values import parse_duration
from service.program.maintenance import TIMES, in_utc
from service.program.printing import enum_text

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
RENAMED = {"start_time": "since", "end_time": "until"}
"""Fields whose option is called as it is in the commands that read the store."""


class _DurationType(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def field_options(request: Any, *names: str) -> Callable[[FunctionT], FunctionT]:
    """Return a decorator that gives a command an option for each of these fields.

    Args:
        request: the class of the message.
        names: of the fields.
    """

    def decorate(function: FunctionT) -> FunctionT:
        for name in reversed(names):
            function = _option(request.DESCRIPTOR.fields_by_name[name])(function)
        return function

    return decorate


def request_of(request: Any, given: Mapping[str, Any]) -> Any:
    """Return a request with the fields that were given.

    Args:
        request: the class of the message.
        given: values of options by their names; None for one that was not given.
    """
    message = request()
    for field in message.DESCRIPTOR.fields:
        value = given.get(_option_name(field))
        if isinstance(value, datetime):
            getattr(message, field.name).FromDatetime(in_utc(value))
        elif isinstance(value, timedelta):
            getattr(message, field.name).FromTimedelta(value)
        elif field.enum_type is not None and value is not None:
            setattr(message, field.name, _choices(field)[value])
        elif value is not None:
            setattr(message, field.name, value)
    return message


def _option_name(field: Any) -> str:
    name: str = field.name
    return RENAMED.get(name, name)


def _option(field: Any) -> Callable[[FunctionT], FunctionT]:
    help = COMMENTS[field.full_name].partition("\n")[0]
    kind = _type_of(field)
    metavar = None if isinstance(kind, click.Choice) else "TIME" if kind is TIMES else field.name.upper()
    return click.option(f"--{_option_name(field).replace('_', '-')}", type=kind, metavar=metavar, help=help)


def _type_of(field: Any) -> Any:
    if field.enum_type is not None:
        return click.Choice(list(_choices(field)), case_sensitive=False)
    if field.message_type is not None:
        return {Timestamp.DESCRIPTOR.full_name: TIMES, Duration.DESCRIPTOR.full_name: _DurationType()}[
            field.message_type.full_name
        ]
    return str if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else int


def _choices(field: Any) -> dict[str, int]:
    return {enum_text(_Enum(field.enum_type), number): number for number in field.enum_type.values_by_number if number}


class _Enum:
    def __init__(self, descriptor: Any) -> None:
        self.DESCRIPTOR = descriptor
