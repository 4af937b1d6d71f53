"""A bearer key for a caller of the gRPC port."""

import secrets

import click

from service.callers import hash_key


@click.command("new-key")
def new_key() -> None:
    """Make a bearer key for a caller: the key for the caller, and its SHA-256 for callers.key_hashes."""
    key = secrets.token_urlsafe(32)
    click.echo(f"key {key}")
    click.echo(f"key_hash {hash_key(key).hex()}")
