"""What clients of servers that die have in common."""

from contextlib import ExitStack

from tests.running import Server
from tests.transports import OverGrpc, OverHttp, Transport


def client_of(server: Server, stack: ExitStack, number: int) -> Transport:
    """Return a client of its own, over JSON where the number is odd and over gRPC where it is even."""
    if number % 2:
        return OverHttp(stack.enter_context(server.client()))
    channel = server.channel()
    stack.callback(channel.close)
    return OverGrpc(channel)
