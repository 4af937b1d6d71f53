"""Load over gRPC: a process that calls InitiateSale and CheckSale in pairs, and tells as JSON what was answered.

Run by the benchmark: `python -m tests.bench.rpc_client ADDRESS TOKENS SECONDS [--empty] [--over-stream]`.
"""

import argparse
import asyncio
import json
import random
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest, InitiateSaleRequest, InitiateSaleResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from gateway.multiplexing import MultiplexedChannel
from tests.running import KEY_METADATA

CHANNELS = 4
CALLS_AT_ONCE = 32
_OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
_INVENTED = InitiateSaleResponse(
    invoice_id="0" * 36, session=InitiateSaleResponse.Session(nonce="0" * 64, signature="0" * 40)
)


@dataclass
class Caller:
    """Makes pairs of calls, one after the other.

    Args:
        stub: of a channel.
        tokens: access tokens.
        empty: whether the answers say nothing; what a check sends of the session is invented then.
        metadata: sent with each call.
    """

    stub: Any
    tokens: list[str]
    empty: bool
    metadata: Sequence[tuple[str, str]]
    calls: int = 0
    latencies: list[float] = field(default_factory=list)

    async def run(self, deadline: float) -> None:
        """Call until a moment of the monotonic clock."""
        while time.perf_counter() < deadline:
            token, serial_number = random.choice(self.tokens), f"device-{random.randrange(10**6)}"
            opened = await self._call(self.stub.InitiateSale, _initiate(token, serial_number))
            sale = _INVENTED if self.empty else opened
            await self._call(self.stub.CheckSale, _check(token, serial_number, sale))

    async def _call(self, method: Any, request: Any) -> Any:
        started = time.perf_counter()
        response = await method(request, timeout=10, metadata=self.metadata)
        self.latencies.append(time.perf_counter() - started)
        self.calls += 1
        return response


def _initiate(token: str, serial_number: str) -> InitiateSaleRequest:
    return InitiateSaleRequest(
        consumer=InitiateSaleRequest.Consumer(
            device=InitiateSaleRequest.Device(serial_number=serial_number), ip_addresses=["192.0.2.17"]
        ),
        session=InitiateSaleRequest.Session(access_token=token),
        transaction=InitiateSaleRequest.Transaction(amount_centis=random.randrange(1, 10**5), currency="EUR"),
    )


def _check(token: str, serial_number: str, sale: InitiateSaleResponse) -> CheckSaleRequest:
    return CheckSaleRequest(
        invoice_id=sale.invoice_id,
        consumer=CheckSaleRequest.Consumer(device=CheckSaleRequest.Device(serial_number=serial_number)),
        session=CheckSaleRequest.Session(
            access_token=token,
            nonce=sale.session.nonce,
            signature=sale.session.signature,
            token=f"session-{random.randrange(10**12):012d}",
        ),
    )


async def call(address: str, tokens: list[str], seconds: float, *, empty: bool, over_stream: bool) -> dict[str, Any]:
    """Call for some seconds, and return what is to be told.

    Raises:
        grpc.aio.AioRpcError: a call failed.
    """
    channels = [grpc.aio.insecure_channel(address, options=_OWN_CONNECTION) for _ in range(CHANNELS)]
    if over_stream:
        channels = [MultiplexedChannel(channel, KEY_METADATA) for channel in channels]
    stubs = [SaleServiceStub(channel) for channel in channels]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    metadata = () if over_stream else KEY_METADATA  # its stream has it
    callers = [Caller(stubs[number % CHANNELS], tokens, empty, metadata) for number in range(CALLS_AT_ONCE)]
    cpu, started = _cpu_seconds(), time.perf_counter()
    await asyncio.gather(*(caller.run(started + seconds) for caller in callers))
    taken, used = time.perf_counter() - started, _cpu_seconds() - cpu
    await asyncio.gather(*(channel.close() for channel in channels))
    latencies = sorted(latency for caller in callers for latency in caller.latencies)
    return {
        "calls": sum(caller.calls for caller in callers),
        "seconds": taken,
        "client_cpu_seconds": used,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="The gRPC load of the benchmark.")
    parser.add_argument("address")
    parser.add_argument("tokens", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--over-stream", action="store_true")
    arguments = parser.parse_args()
    tokens = arguments.tokens.read_text().split()
    kind = {"empty": arguments.empty, "over_stream": arguments.over_stream}
    print(json.dumps(uvloop.run(call(arguments.address, tokens, arguments.seconds, **kind))))


if __name__ == "__main__":
    main()
