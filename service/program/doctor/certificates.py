"""Checks of the certificates that the ports are served with."""

import ssl
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from gateway.program.settings import ConfigurationError, ListenerSettings
from gateway.program.tls_files import load_files
from service.program.doctor.findings import SOON, Finding, Grade
from service.program.doctor.ports import listeners_of
from service.program.settings import ServiceSettings


def check_certificates(settings: ServiceSettings, now: datetime) -> Iterator[Finding]:
    """Tell of each port with TLS whether its key goes with its certificate, and what that says.

    Args:
        settings: of the program.
        now: the present.
    """
    for name, listener in listeners_of(settings).items():
        if listener.tls_cert is not None:
            yield _of(listener, name, now)


def _of(listener: ListenerSettings, name: str, now: datetime) -> Finding:
    from cryptography.x509 import (  # noqa: PLC0415  # only who has certificates needs it
        DNSName,
        ExtensionNotFound,
        IPAddress,
        SubjectAlternativeName,
        load_pem_x509_certificates,
    )

    check = f"{name} certificate"
    try:
        files = load_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), listener, name)
    except ConfigurationError as error:
        return Finding(check, Grade.FAIL, str(error), "Put the certificate and the key that belongs to it there.")
    chain = load_pem_x509_certificates(files.certificate)
    broken = [second.subject for first, second in pairwise(chain) if first.issuer != second.subject]
    if broken:
        return Finding(
            check,
            Grade.FAIL,
            f"{broken[0].rfc4514_string()} has not signed the certificate before it",
            "Order the file: the server's own certificate, then each authority after the one that it signed.",
        )
    for authority in chain[1:]:
        if (ends := authority.not_valid_after_utc) < now + SOON:
            what = f"the authority {authority.subject.rfc4514_string()} ends at {ends.isoformat()}"
            return Finding(check, Grade.FAIL if ends < now else Grade.WARN, what, "Have the chain signed anew.")
    try:
        names = chain[0].extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return Finding(check, Grade.WARN, "has no subject alternative name", "Clients refuse it: have it signed anew.")
    hosts = [*names.get_values_for_type(DNSName), *map(str, names.get_values_for_type(IPAddress))]
    return Finding(check, Grade.OK, f"for {_listed(hosts)}, the key belongs to it, {len(chain)} in the chain")


def _listed(hosts: Sequence[str]) -> str:
    return ", ".join(hosts) or "no host"
