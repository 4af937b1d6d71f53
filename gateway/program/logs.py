"""Logs: one line an event on standard error, JSON unless that is a terminal. No secret is ever in one."""

import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from gateway.program.line_writer import LineWriter

# Nothing here is logged on purpose; this is for the day that somebody does.
_SECRET_NAMES = frozenset(
    {
        "access_token",
        "authorization",
        "card",
        "check_signature",
        "client_card_id",
        "control",
        "control_key",
        "control_keys",
        "email",
        "expiry",
        "holder",
        "idempotency_key",
        "imei",
        "ip_addresses",
        "nonce",
        "number",
        "parameters",
        "random_sum_centis",
        "sealed",
        "serial_number",
        "server_card_id",
        "session_token",
        "signature",
        "token",
    }
)

# What is not made to be JSON is logged as its repr, which leaves out what is secret in it.
_AS_REPR = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def configure_logs(known_of_call: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Send the events of this project, and the warnings of its libraries, to standard error.

    Args:
        known_of_call: returns what is added to every line of the call that runs.
    """

    def add_known(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        return {**known_of_call(), **event}

    shared: list[Processor] = [
        add_known,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
        _exception_without_text,
    ]
    renderer: Processor
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
        structlog.configure([*shared, renderer], logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    else:
        renderer = structlog.processors.JSONRenderer()
        writer = LineWriter(sys.stderr.fileno())
        structlog.configure([*shared, _render], logger_factory=lambda *names: writer)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO), cache_logger_on_first_use=True
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what a client did wrong has a line of its own


def _redact(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for key in _SECRET_NAMES & event.keys():
        event[key] = "[redacted]"
    return event


def _render(logger: WrappedLogger, name: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=_AS_REPR)
    except TypeError:  # half of a surrogate pair: what the system gave was no UTF-8
        return json.dumps(event, default=repr).encode()


def _exception_without_text(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    # The text of an exception may hold what a request held; its type and where it came from do not.
    match event.pop("exc_info", None):
        case BaseException() as error:
            pass
        case (_, BaseException() as error, _):
            pass
        case _:
            return event
    frames = traceback.extract_tb(error.__traceback__)
    event["error_type"] = type(error).__qualname__
    event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event
