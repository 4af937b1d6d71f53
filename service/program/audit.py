"""The commands that read the audit log."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import orjson

from gateway.program.options import config_option, one_line_errors
from service.audit_trail import ChainBroken, read_chain, verify_chain
from service.program.maintenance import TIMES, in_utc, settings_of, store_option, with_store
from service.store import ChainedEntry, Store

_HASH_BYTES = 32


class _Hash(click.ParamType[bytes]):
    name = "hash"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        try:
            hash = bytes.fromhex(value)
        except ValueError:
            hash = b""
        if len(hash) != _HASH_BYTES:
            self.fail(f"must be {2 * _HASH_BYTES} hexadecimal digits", param, ctx)
        return hash


@click.group()
def audit() -> None:
    """Read and verify the audit log: who has done what and when."""


@audit.command()
@config_option
@store_option
@click.option(
    "--head", type=_Hash(), metavar="HASH", help="A head_hash of an earlier run, kept where nobody else writes."
)
@one_line_errors
def verify(config: Path | None, store: str | None, head: bytes | None) -> None:
    """Compute the chain of hashes again, also while servers run.

    Prints how many entries are in it, the last hash, and how many entries are not in it yet. That the end was cut off,
    or the whole chain was made anew, shows with --head alone.

    Exit code 1 means that it is not what was written; the message tells where.
    """

    async def run(store: Store) -> None:
        try:
            sound = await verify_chain(store, head)
        except ChainBroken as error:
            raise click.ClickException(f"the chain is broken at {error}") from None
        click.echo(f"audit_entries {sound.count}")
        click.echo(f"head_hash {sound.head.hex()}")
        click.echo(f"unchained_entries {sound.waiting}")

    with_store(settings_of(config, store), run, read_only=True)


@audit.command("list")
@config_option
@store_option
@click.option("--since", type=TIMES, metavar="TIME", help="Only what was done then or later; UTC unless it says.")
@click.option("--until", type=TIMES, metavar="TIME", help="Only what was done before.  [default: now]")
@one_line_errors
def list_entries(config: Path | None, store: str | None, since: datetime | None, until: datetime | None) -> None:
    """Write the audit log as JSON lines, in the order of the chain."""
    begin, end = in_utc(since), in_utc(until)

    async def run(store: Store) -> None:
        output = sys.stdout.buffer
        async for chained in read_chain(store):
            time = None if chained.entry is None else chained.entry.create_time
            if time is None or ((begin is None or begin <= time) and (end is None or time < end)):
                output.write(_line(chained))

    with_store(settings_of(config, store), run, read_only=True)


def _line(chained: ChainedEntry) -> bytes:
    link, entry = chained
    told: dict[str, object] = {"position": link.position, "entry_id": link.entry_id}
    if entry is not None:  # otherwise it was removed, as `verify` tells
        told |= {
            "create_time": entry.create_time.astimezone(UTC),
            "action": entry.action,
            "subject": entry.subject,
            "caller": entry.caller,
            "address": entry.address,
            "details": dict(entry.details),
        }
    told["hash"] = link.hash.hex()
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
