"""What is suspicious about settings, and no reason to refuse them."""

import structlog

from service.program.settings import ServiceSettings

_log = structlog.stdlib.get_logger(__name__)


def warn_of_settings(settings: ServiceSettings, *, serves_http: bool) -> None:
    """Log a line for each thing.

    Args:
        settings: of the program.
        serves_http: whether the JSON gateway is in the same process.
    """
    if serves_http:
        _warn_of_certificates_never_shown(settings)


def _warn_of_certificates_never_shown(settings: ServiceSettings) -> None:
    name, port = list(settings.http.listeners().items())[-1]  # the payment gateways' own, if they have one
    elsewhere = any("gateway" in caller.roles for caller in settings.callers)
    if port.client_ca is not None or elsewhere:
        return
    for position, endpoint in enumerate(settings.endpoints):
        if endpoint.payment_gateway is not None and endpoint.payment_gateway.certificates:
            setting = f"endpoints[{position}].payment_gateway.certificates"
            _log.warning("client certificate never asked for", setting=setting, needs=f"{name}.client_ca")
