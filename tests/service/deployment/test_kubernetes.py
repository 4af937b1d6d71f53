"""The manifests are what Kubernetes takes, and agree with the settings that are beside them, and with each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.health import Alive, Ready
from gateway.program.settings import load_settings
from service.program.settings import ServiceSettings, callers_of, endpoints_of
from tests.merchant import SBC

FOLDER = Path("service/deployment/kubernetes")
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = [
    (path, manifest)
    for path in KUSTOMIZATION["resources"]
    for manifest in yaml.safe_load_all((FOLDER / path).read_text())
]


def manifest(kind: str, name: str = "sale") -> Any:
    (found,) = (each for _, each in MANIFESTS if each["kind"] == kind and each["metadata"]["name"].startswith(name))
    return found


def pods() -> Iterator[Any]:
    for kind in ("Deployment", "Job"):
        yield manifest(kind)["spec"]["template"]


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    """The settings of the nodes; their secrets are in another folder."""
    (tmp_path / "control-keys").write_text(SBC.control_key)
    text = (FOLDER / "sale.toml").read_text()
    (tmp_path / "sale.toml").write_text(text.replace("/run/secrets/sale/", f"{tmp_path}/"))
    return load_settings(ServiceSettings, tmp_path / "sale.toml", {})


@pytest.mark.parametrize(("path", "document"), MANIFESTS)
def test_kubernetes_takes_each_manifest(path: str, document: Any) -> None:
    kubernetes_validate.validate(document, "1.33", strict=True)


def test_each_file_of_the_folder_is_used() -> None:
    generated = [file for each in KUSTOMIZATION["configMapGenerator"] for file in each["files"]]

    assert {*KUSTOMIZATION["resources"], *generated, "kustomization.yaml"} == {path.name for path in FOLDER.iterdir()}


def test_the_settings_are_sound(settings: ServiceSettings) -> None:
    assert endpoints_of(settings.endpoints)
    assert callers_of(settings)
    assert not settings.http.listen.is_loopback
    for name, listener in {**settings.http.listeners(), "grpc": settings.grpc}.items():
        listener.require_protected(name)
    assert settings.store.path is None


def test_ports_are_those_of_the_settings(settings: ServiceSettings) -> None:
    (node,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in node["ports"]}

    assert settings.metrics is not None
    assert ports == {
        "http": settings.http.listen.port,
        "grpc": settings.grpc.listen.port,
        "metrics": settings.metrics.listen.port,
    }
    for name in ("sale", "sale-grpc"):
        (service,) = (each for _, each in MANIFESTS if each["kind"] == "Service" and each["metadata"]["name"] == name)
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    rules = manifest("NetworkPolicy", "sale-nodes")["spec"]["ingress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} <= set(ports)


def test_probes_ask_what_the_gateway_answers(settings: ServiceSettings) -> None:
    (node,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: node[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}

    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": Ready.path,
        "readinessProbe": Ready.path,
        "livenessProbe": Alive.path,
    }
    assert node["readinessProbe"]["timeoutSeconds"] > settings.http.deadline.total_seconds()


def test_a_pod_is_given_longer_than_requests_may_run_on(settings: ServiceSettings) -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (_, seconds) = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]

    assert pod["terminationGracePeriodSeconds"] > int(seconds) + settings.shutdown_grace.total_seconds() + 5


def test_pods_have_no_rights_and_write_nothing() -> None:
    for pod in pods():
        security, spec = pod["spec"]["securityContext"], pod["spec"]
        assert security["runAsNonRoot"]
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()


def test_what_pods_are_selected_by_they_have() -> None:
    node, migration = (pod["metadata"]["labels"] for pod in pods())
    selectors = [
        *(manifest(kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")),
        *(each["spec"]["selector"] for _, each in MANIFESTS if each["kind"] == "Service"),
        manifest("NetworkPolicy", "sale-nodes")["spec"]["podSelector"]["matchLabels"],
    ]

    for selector in selectors:
        assert selector.items() <= node.items()
        assert not selector.items() <= migration.items()
    migrate = manifest("NetworkPolicy", "sale-migrate")["spec"]["podSelector"]["matchLabels"]
    assert migrate.items() <= migration.items()


def test_secrets_and_settings_are_mounted_where_the_settings_look() -> None:
    text = (FOLDER / "sale.toml").read_text()
    for pod in pods():
        (container,) = pod["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert f"{mounts['settings']}/sale.toml" == container["command"][-1]
        assert f'"{mounts["keys"]}/control-keys"' in text
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == set(mounts)
