"""The limits of HTTP ports as their settings say them."""

from gateway.http_limits import Limits
from gateway.program.settings import HttpSettings


def limits_of(http: HttpSettings) -> Limits:
    """Return the limits that the settings say.

    Args:
        http: the settings.
    """
    values = http.limits.model_dump(exclude={"unready_when_overloaded", "handshake", "receive", "idle", "send"})
    return Limits(
        **values,
        body=http.max_body,
        handshake_seconds=http.limits.handshake.total_seconds(),
        receive_seconds=http.limits.receive.total_seconds(),
        idle_seconds=http.limits.idle.total_seconds(),
        send_seconds=http.limits.send.total_seconds(),
    )
