"""The command `doctor`: whether a server could start and go on here, and what to do where it could not."""

from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from gateway.program.options import config_option
from gateway.program.settings import ConfigurationError
from service.identifiers import utc_now
from service.program.doctor.certificates import check_certificates
from service.program.doctor.findings import Finding, Grade
from service.program.doctor.host import check_clock, check_descriptors
from service.program.doctor.ports import check_ports
from service.program.doctor.settings import check_files, check_settings, check_versions
from service.program.doctor.stores import check_store
from service.program.maintenance import settings_of, store_option
from service.program.printing import json_option, print_table
from service.program.settings import ServiceSettings

_HEAD = ("", "check", "found", "what to do")


@click.command()
@config_option
@store_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, config: Path | None, store: str | None, as_json: bool) -> None:
    """Look for what keeps a server from starting, or soon will, and say what to do about it. Changes nothing.

    Run it as the user of the server, before a start or beside one that runs: configuration, keys, certificates, store,
    disk, clock, ports. Exit code 0: no FAIL; 1: there is one; 2: a wrong option.
    """
    findings = list(_findings(config, store))
    if as_json:
        for finding in findings:
            click.echo(orjson.dumps(finding._asdict()).decode())
    else:
        print_table(_HEAD, [(each.grade, each.check, each.found, each.advice) for each in findings])
    ctx.exit(int(any(finding.grade is Grade.FAIL for finding in findings)))


def _findings(config: Path | None, store: str | None) -> Iterator[Finding]:
    yield from check_versions()
    try:
        settings = settings_of(config, store)
    except ConfigurationError as error:
        yield Finding("settings", Grade.FAIL, str(error), "Correct it; nothing else could be checked.")
        return
    yield from _of_settings(settings, config)


def _of_settings(settings: ServiceSettings, config: Path | None) -> Iterator[Finding]:
    now = utc_now()
    yield from check_settings(settings)
    yield from check_files(settings, config, now)
    yield from check_certificates(settings, now)
    yield from check_store(settings.store, now, workers=settings.workers)
    yield from check_clock()
    yield from check_descriptors(settings.http.limits.connections)
    yield from check_ports(settings)
