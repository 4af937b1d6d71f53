"""Whoever may call can ask what rpcs there are, where that is on."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.merchant import write_config
from tests.running import ANY_PORT, PROGRAMS, Program, running, service_arguments

SERVICES = {
    *(f"connectingparty.sale.v1.{name}Service" for name in ("Sale", "AccessToken", "Card", "Blocklist", "Endpoint")),
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture(scope="module")
def reflecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("reflecting")
    config = write_config(folder / "sale.toml", "[grpc]\nreflection = true\n")
    with running(service_arguments(config, f"sqlite:///{folder}/sale.db"), folder / "log") as program:
        yield program


def test_a_caller_is_told_all_services(reflecting: Program) -> None:
    with reflecting.channel() as channel:
        assert set(ProtoReflectionDescriptorDatabase(channel).get_services()) == SERVICES


def test_nobody_else_is(reflecting: Program) -> None:
    with grpc.insecure_channel(str(reflecting.grpc)) as channel, pytest.raises(grpc.RpcError) as refused:
        list(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_in_development_mode_a_shell_needs_no_proto(tmp_path: Path) -> None:
    dev = ["--dev", f"--http={ANY_PORT}", f"--grpc={ANY_PORT}", f"--store=sqlite:///{tmp_path}/sale.db"]
    with running(["sale-service", "serve", *dev], tmp_path / "log") as program:
        url = f"http://{program.grpc}/connectingparty.sale.v1.AccessTokenService/RequestAccessToken"
        command = [str(PROGRAMS / "buf"), "curl", "--protocol=grpc", "--http2-prior-knowledge", "--data={}", url]
        called = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert len(json.loads(called.stdout)["session"]["accessToken"]) == 64
