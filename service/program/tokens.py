"""The commands of access tokens."""

import sys
from typing import Any

import click
from connectingparty.sale.v1.access_token_service_pb2 import (
    IssueAccessTokenRequest,
    RevokeAccessTokenRequest,
    RevokeConsumerTokensRequest,
)

from service.program.printing import json_option, print_json, time_text
from service.program.remote import Remote, asks_server
from service.program.request_options import field_options, request_of


@click.group()
def tokens() -> None:
    """Issue and revoke access tokens on a server that runs: needs the role issuer."""


@tokens.command()
@field_options(IssueAccessTokenRequest, "consumer_id", "email", "serial_number", "endpoint_id", "ttl")
@json_option
@asks_server
def issue(remote: Remote, as_json: bool, **fields: Any) -> None:
    """Issue an access token, as the merchant's login does for an app."""
    issued = remote.call("AccessTokenService.IssueAccessToken", request_of(IssueAccessTokenRequest, fields))
    if as_json:
        print_json(issued)
    else:
        click.echo(f"access_token {issued.access_token}\nexpire_time {time_text(issued.expire_time)}")


@tokens.command()
@field_options(RevokeConsumerTokensRequest, "consumer_id")
@asks_server
def revoke(remote: Remote, consumer_id: str | None) -> None:
    """Revoke an access token, or with --consumer-id all that the consumer has.

    The token is asked for, or read from standard input: on a command line others could read it.
    """
    if consumer_id is not None:
        request = RevokeConsumerTokensRequest(consumer_id=consumer_id)
        answer = remote.call("AccessTokenService.RevokeConsumerTokens", request)
        click.echo(f"revoked_count {answer.revoked_count}")
        return
    token = click.prompt("Access token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not token.strip():
        raise click.UsageError("the access token: none came in; it is read from standard input, its first line.")
    request_of_one = RevokeAccessTokenRequest(access_token=token.strip())
    remote.call("AccessTokenService.RevokeAccessToken", request_of_one)
    click.echo("revoked, if it was one")
