"""Envoy's gRPC-JSON transcoder in front of the service, configured for speed.

One HTTP/2 connection to the service for each of its threads, no access log, no statistics, the request's id as the
client sent it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from tests.running import KEY_METADATA, PROGRAMS

_START_SECONDS = 20.0
_PACKAGE = "envoy.extensions"
_TYPES = f"type.googleapis.com/{_PACKAGE}"
_GENERATOR = Path(__file__).parents[3] / "proto" / "generate.py"


class Envoy(NamedTuple):
    """A process that serves."""

    http: str
    """Host and port of the JSON."""
    pid: int


def write_descriptors(path: Path) -> Path:
    """Write the proto and all that it imports as the descriptor set that Envoy reads."""
    subprocess.run([sys.executable, str(_GENERATOR), "--image", str(path)], check=True)
    return path


@contextmanager
def running_envoy(service: str, descriptors: Path, folder: Path, threads: int) -> Iterator[Envoy]:
    """Run Envoy for as long as the block does.

    Args:
        service: host and port of the service.
        descriptors: as `write_descriptors` wrote them.
        folder: takes its files.
        threads: how many of them serve.
    """
    config, admin = folder / "envoy.json", folder / "envoy-admin"
    config.write_text(json.dumps(_config(service, descriptors)))
    command = [
        str(PROGRAMS / "envoy"),  # starts the binary of the wheel in its own place
        *("--config-path", str(config)),
        *("--admin-address-path", str(admin)),
        *("--concurrency", str(threads)),
        *("--log-level", "error"),
        "--disable-hot-restart",
    ]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        yield Envoy(_wait_for_listener(process, admin, folder / "envoy.log"), process.pid)
    finally:
        process.kill()
        process.wait()


def _wait_for_listener(process: subprocess.Popen[bytes], admin: Path, log: Path) -> str:
    """Return where the listener is, once it takes connections."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if admin.exists() and (address := admin.read_text()):
            with urlopen(f"http://{address}/ready") as ready, urlopen(f"http://{address}/listeners") as listeners:
                told = listeners.read().decode().strip()
                if ready.status == 200 and told:
                    return str(told.partition("::")[2])
        time.sleep(0.05)
    raise RuntimeError(f"Envoy does not start: {log.read_text()[-2000:]}")


def _config(service: str, descriptors: Path) -> dict[str, Any]:
    return {
        "admin": {"address": _socket("127.0.0.1:0")},
        "stats_config": {"stats_matcher": {"reject_all": True}},
        "static_resources": {"listeners": [_listener(descriptors)], "clusters": [_cluster(service)]},
    }


def _listener(descriptors: Path) -> dict[str, Any]:
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "service", "timeout": "5s"},
        "request_headers_to_add": [{"header": {"key": name, "value": value}} for name, value in KEY_METADATA],
        "response_headers_to_add": [{"header": {"key": "x-request-id", "value": "%REQ(x-request-id)%"}}],
    }
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "json",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [_transcoder(descriptors), _router()],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "json", "address": _socket("127.0.0.1:0"), "filter_chains": [chain]}


def _transcoder(descriptors: Path) -> dict[str, Any]:
    # Its print options are as it has them: lowerCamelCase and no spaces are what our answers have too.
    config = {
        "@type": f"{_TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": ["connectingparty.sale.v1.SaleService", "connectingparty.sale.v1.AccessTokenService"],
        "convert_grpc_status": True,
    }
    return {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": config}


def _router() -> dict[str, Any]:
    config = {"@type": f"{_TYPES}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    return {"name": "envoy.filters.http.router", "typed_config": config}


def _cluster(service: str) -> dict[str, Any]:
    protocol = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _socket(service)}}]}]
    return {
        "name": "service",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {f"{_PACKAGE}.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {"cluster_name": "service", "endpoints": endpoints},
    }


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
