"""What it means that the service can't be reached, for whoever has to mend it."""

import re
from collections.abc import Mapping

import grpc

from gateway.program.settings import ProgramSettings
from gateway.program.values import Address

_NOT_TRUSTED = re.compile(r"OPENSSL_internal:\w+: ([a-z -]*certificate[a-z -]*)")
_OTHER_NAME = "the certificate there is not for {host}: name the host as the certificate does"
_WORDS = {
    "Hostname Verification Check failed": _OTHER_NAME,
    "WRONG_VERSION_NUMBER": "no TLS is spoken there",
    "Socket closed": "the connection was closed, by a service that ended or one that takes TLS only",
}
_STRANGERS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def cause_of(error: grpc.RpcError, address: Address) -> str:
    """Return what is wrong, without a full stop at its end.

    Args:
        error: of a call that the service has not answered.
        address: that was called.
    """
    details = str(error.details() or error.code().name)
    for part, words in _WORDS.items():
        if part in details:
            return words.format(host=address.host)
    if found := _NOT_TRUSTED.search(details):
        return f"the certificate there is not trusted: {found[1]}"
    return details.rstrip(".")


def explain(error: grpc.RpcError, settings: ProgramSettings) -> Mapping[str, str]:
    """Return what the log tells of a stream that broke: the settings that it is about, and what is wrong.

    Args:
        error: that broke it.
        settings: of the gateway.
    """
    if error.code() in _STRANGERS:
        return {"settings": "service.key_file, service.tls_cert"}
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return {}
    tls = "service.tls_ca" if settings.service.tls else "service.tls"
    return {"settings": f"http.service, {tls}", "cause": cause_of(error, settings.http.service)}
