"""Kubernetes' objects: they are as its schemas have them, hardened, and reached with a token alone."""

import stat
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from experiments.fleet.manifests import Site, write
from tests.experiments.fleet.manifests.services import on_cpu, on_gpu
from tests.experiments.fleet.manifests.written import every_kubernetes_object, refuse_unlike

LATEST = "1.37"
OLDER = [pytest.param(version, marks=pytest.mark.wide) for version in ("1.35", "1.36")]
CUSTOM = {"ScaledObject": "scaledobject", "PodMonitor": "podmonitor"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return dict(every_kubernetes_object(tmp_path_factory.mktemp("kubernetes")))


def of_kind(objects: dict[str, dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects.values() if each["kind"] == kind]


@pytest.mark.thorough
@pytest.mark.parametrize("version", [*OLDER, LATEST])
def test_kubernetes_takes_every_object(objects: dict[str, dict[str, Any]], version: str) -> None:
    for name, each in objects.items():
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)
            assert name


@pytest.mark.thorough
def test_a_field_that_kubernetes_does_not_know_would_be_found(objects: dict[str, dict[str, Any]]) -> None:
    deployment = of_kind(objects, "Deployment")[0]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment, "sepc": {}}, LATEST, strict=True)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", CUSTOM)
def test_custom_resources_are_as_their_definitions_have_them(
    objects: dict[str, dict[str, Any]], kind: str
) -> None:
    for each in of_kind(objects, kind):
        refuse_unlike(CUSTOM[kind], each)
    with pytest.raises(jsonschema.ValidationError):
        refuse_unlike(CUSTOM[kind], {**each, "spec": {**each["spec"], "unknown": 1}})


def test_no_container_is_root_or_can_write_but_in_its_volumes(objects: dict[str, dict[str, Any]]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert not {"hostIPC", "hostPID", "hostNetwork"} & set(pod)
        assert all("hostPath" not in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_only_the_gateways_port_is_let_in_and_nothing_out(objects: dict[str, dict[str, Any]]) -> None:
    for policy in of_kind(objects, "NetworkPolicy"):
        assert policy["spec"]["egress"] == []
        assert [rule["ports"] for rule in policy["spec"]["ingress"]] == [
            [{"protocol": "TCP", "port": "http"}]
        ]
    for deployment in of_kind(objects, "Deployment"):
        ports = [c["name"] for c in deployment["spec"]["template"]["spec"]["containers"] if "ports" in c]
        assert ports == ["gateway"]
    for config in of_kind(objects, "ConfigMap"):
        lines = config["data"].get("config.properties", "").splitlines()
        assert all("127.0.0.1" in line for line in lines if "_address=" in line)


@pytest.mark.parametrize(
    ("sharing", "limits", "selected"),
    [
        ("whole", {"nvidia.com/gpu": "1"}, False),
        ("mps-in-pod", {"nvidia.com/gpu": "1"}, False),
        ("mps-device-plugin", {"nvidia.com/gpu": "1"}, True),
        ("mps-dra", {}, False),
    ],
)
def test_how_a_pod_gets_its_part_of_a_card(
    objects: dict[str, dict[str, Any]], sharing: str, limits: dict[str, str], selected: bool
) -> None:
    folder = f"{sharing}-None"
    pod = objects[f"{folder}/bert/deployment.yaml"]["spec"]["template"]["spec"]
    torchserve = pod["containers"][0]
    assert {k: v for k, v in torchserve["resources"]["limits"].items() if k != "memory"} == limits
    assert ("nvidia.com/mps.capable" in pod["nodeSelector"]) == selected
    assert pod["nodeSelector"]["nvidia.com/gpu.product"] == "NVIDIA-H200"
    assert ("--mps" in torchserve["command"]) == (sharing == "mps-in-pod")
    assert ("--thread-percentage=50" in torchserve["command"]) == (sharing == "mps-in-pod")
    assert ("resourceClaims" in pod) == (sharing == "mps-dra")
    assert (f"{folder}/00-device-plugin.yaml" in objects) == selected


def test_a_claim_names_card_share_and_memory(objects: dict[str, dict[str, Any]]) -> None:
    devices = objects["mps-dra-None/bert/resourceclaimtemplate.yaml"]["spec"]["spec"]["devices"]
    (request,), (config,) = devices["requests"], devices["config"]
    assert '"NVIDIA H200"' in request["exactly"]["selectors"][0]["cel"]["expression"]
    assert config["opaque"]["parameters"]["sharing"] == {
        "strategy": "MPS",
        "mpsConfig": {"defaultActiveThreadPercentage": 50, "defaultPinnedDeviceMemoryLimit": "8192Mi"},
    }


def test_the_plugins_shares_are_those_of_the_services(objects: dict[str, dict[str, Any]]) -> None:
    data = objects["mps-device-plugin-None/00-device-plugin.yaml"]["data"]
    (resource,) = yaml.safe_load(data["mps-2"])["sharing"]["mps"]["resources"]
    assert resource == {"name": "nvidia.com/gpu", "replicas": 2}


def test_a_pod_is_added_before_its_capacity_is_reached(tmp_path: Path) -> None:
    service = on_cpu(capacity_rps=60.0, least_instances=1, instances=2, most_instances=4)
    write([service], tmp_path, "kubernetes")
    spec = yaml.safe_load((tmp_path / "embeddings/scaledobject.yaml").read_text())["spec"]
    (trigger,) = spec["triggers"]
    assert float(trigger["metadata"]["threshold"]) == 48
    assert 'model_name="embeddings"' in trigger["metadata"]["query"]
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"], spec["maxReplicaCount"]) == (1, 2, 4)
    deployment = yaml.safe_load((tmp_path / "embeddings/deployment.yaml").read_text())
    assert "replicas" not in deployment["spec"]  # else each apply would undo what KEDA did


def test_kubernetes_own_autoscaler_adds_a_pod_at_the_same_rate(tmp_path: Path) -> None:
    service = on_cpu(capacity_rps=4.01, least_instances=1, instances=2, most_instances=4)
    write([service], tmp_path, "kubernetes", site=Site(autoscaler="hpa", namespace="models"))
    assert not (tmp_path / "embeddings/scaledobject.yaml").exists()
    hpa = yaml.safe_load((tmp_path / "embeddings/horizontalpodautoscaler.yaml").read_text())
    (metric,) = hpa["spec"]["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "3208m"}
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (1, 4)
    adapter = yaml.safe_load((tmp_path / "00-prometheus-adapter.yaml").read_text())
    (rule,) = yaml.safe_load(adapter["data"]["config.yaml"])["rules"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    assert 'namespace="models"' in rule["seriesQuery"]


def test_an_adapter_is_asked_for_only_where_pods_come_and_go(objects: dict[str, dict[str, Any]]) -> None:
    own = [name for name, each in objects.items() if each["kind"] == "HorizontalPodAutoscaler"]
    assert own
    assert all(name.endswith("bert/horizontalpodautoscaler.yaml") for name in own)  # the other's don't


def test_the_startup_probe_knows_how_long_loading_takes(tmp_path: Path) -> None:
    write([on_gpu(loading_s=200.0)], tmp_path, "kubernetes")
    deployment = yaml.safe_load((tmp_path / "bert/deployment.yaml").read_text())
    probe = deployment["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 600


def test_tokens_are_the_owners_alone_and_stay_when_files_are_written_anew(tmp_path: Path) -> None:
    write([on_cpu()], tmp_path, "kubernetes")
    secret = tmp_path / "embeddings" / "secret.yaml"
    before = secret.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    data = yaml.safe_load(before)["stringData"]
    assert data["tokens"] != data["metrics"]
    assert min(map(len, data.values())) >= 43  # 256 bits
    write([on_cpu()], tmp_path, "kubernetes")
    assert secret.read_text() == before


def test_other_settings_are_other_pods(tmp_path: Path) -> None:
    texts = []
    for workers in (1, 2):
        write([on_cpu(workers=workers)], tmp_path, "kubernetes")
        texts.append(yaml.safe_load((tmp_path / "embeddings/deployment.yaml").read_text()))
    first, second = (each["spec"]["template"]["metadata"]["annotations"] for each in texts)
    assert first != second
