"""Checks that no control key is one that everybody knows."""

from collections.abc import Iterator

from gateway.parties.development import CONTROL_KEY
from gateway.program.settings import ConfigurationError
from service.program.doctor.findings import Finding, Grade
from service.program.settings import ServiceSettings, endpoints_of
from service.signing import parse_control_key

_PRINTED = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD"
"""The example that README has, in a configuration to copy."""
_KNOWN = {
    parse_control_key(_PRINTED).bytes: "is the example of README.md",
    parse_control_key(CONTROL_KEY).bytes: "is that of development mode",
}
_ADVICE = "Set the key that the payment gateway gave you: with a known one anybody can sign callbacks."


def check_known_keys(settings: ServiceSettings) -> Iterator[Finding]:
    """Tell which endpoints have a control key that everybody knows.

    Args:
        settings: of the program.
    """
    try:
        endpoints = endpoints_of(settings.endpoints)
    except ConfigurationError:
        return  # told by the check of the endpoints
    for position, endpoint in enumerate(endpoints):
        for number, key in enumerate(endpoint.control_keys):
            if key.bytes in _KNOWN:
                check = f"endpoints[{position}].control_keys[{number}]"
                yield Finding(check, Grade.WARN, f"{_KNOWN[key.bytes]}: everybody knows it", _ADVICE)
