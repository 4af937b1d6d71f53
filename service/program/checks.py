"""What is suspicious about the settings of the service, and no reason to refuse them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from gateway.program.file_checks import SOON, Suspicion, suspicious_files
from service.program.settings import ServiceSettings


def unused_tables(*, serves_http: bool) -> set[str]:
    """Return the tables of the settings without meaning.

    Args:
        serves_http: whether the JSON gateway is in the same process.
    """
    return {"service"} if serves_http else {"service", "http"}


def suspicious_settings(
    settings: ServiceSettings, config: Path | None, now: datetime, *, serves_http: bool, soon: timedelta = SOON
) -> Iterator[Suspicion]:
    """Return what whoever runs the server should look at.

    Args:
        settings: of the program.
        config: the file that they are from.
        now: the present.
        serves_http: whether the JSON gateway is in the same process.
        soon: how long before its end a certificate is told.
    """
    if serves_http:
        yield from _certificates_never_asked_for(settings)
    yield from suspicious_files(settings, config, now, unused_tables(serves_http=serves_http), soon=soon)


def _certificates_never_asked_for(settings: ServiceSettings) -> Iterator[Suspicion]:
    name, port = list(settings.http.listeners().items())[-1]  # the payment gateways' own, if they have one
    if port.client_ca is not None:
        return
    for position, endpoint in enumerate(settings.endpoints):
        if endpoint.payment_gateway is not None and endpoint.payment_gateway.certificates:
            setting = f"endpoints[{position}].payment_gateway.certificates"
            yield Suspicion("client certificate never asked for", {"setting": setting, "needs": f"{name}.client_ca"})
