"""What a cluster takes: objects of Kubernetes, task definitions of Amazon ECS."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.fleet.manifests.pods import PROBE_PERIOD_S, Pods
from experiments.fleet.manifests.rendering import render
from experiments.fleet.manifests.settings import (
    GATEWAY_PORT,
    IN_IMAGE,
    USER_ID,
    command,
    environment,
    gateway_command,
    gateway_probe_command,
    log4j2,
    probe_command,
    properties,
)
from experiments.fleet.manifests.site import Autoscaler, Site

AUTOSCALERS: dict[Autoscaler, str] = {"keda": "scaledobject", "hpa": "horizontalpodautoscaler"}
LONGEST_START_PERIOD_S = 300  # of a health check of Amazon ECS
MOST_RETRIES = 10


@dataclass(frozen=True, slots=True)
class File:
    """One to write: where, below the folder, and what. `secret`: for its owner's eyes, and kept where it
    is."""

    path: str
    text: str
    secret: bool = False


def kubernetes_files(fleet: Sequence[Pods], site: Site, tokens: tuple[str, str]) -> Iterator[File]:
    """One file an object, in a folder for each service; `tokens` are one for clients and one for
    Prometheus."""
    # kubectl applies a folder in the order of its names: what others need comes first.
    yield File("00-namespace.yaml", render("kubernetes/namespace.yaml.j2", site=site))
    shared = sorted({pods.per_card for pods in fleet if pods.sharing == "mps-device-plugin"})
    if shared:
        yield File("00-device-plugin.yaml", render("kubernetes/device-plugin.yaml.j2", replica_counts=shared))
    if site.autoscaler == "hpa" and any(pods.least < pods.most for pods in fleet):
        yield File("00-prometheus-adapter.yaml", render("kubernetes/prometheus-adapter.yaml.j2", site=site))
    for pods in fleet:
        kinds = ["configmap", "deployment", "service", "podmonitor", "poddisruptionbudget", "networkpolicy"]
        if pods.least < pods.most:
            kinds.append(AUTOSCALERS[site.autoscaler])
        if pods.sharing == "mps-dra":
            kinds.append("resourceclaimtemplate")
        values = _values(pods, site)
        for kind in kinds:
            yield File(f"{pods.service.name}/{kind}.yaml", render(f"kubernetes/{kind}.yaml.j2", **values))
        token, metrics_token = tokens
        secret = render("kubernetes/secret.yaml.j2", token=token, metrics_token=metrics_token, **values)
        yield File(f"{pods.service.name}/secret.yaml", secret, secret=True)


def ecs_files(fleet: Sequence[Pods], site: Site) -> Iterator[File]:
    """A task definition for each service. Its configuration is in a variable: ECS mounts no files."""
    for pods in fleet:
        values = _values(pods, site)
        text = properties(pods).replace(f"{IN_IMAGE.config}/log4j2.xml", f"{IN_IMAGE.prefix}/log4j2.xml")
        values["properties"] = text
        values["command"] = [
            word.replace(f"{IN_IMAGE.config}/", "") if word.startswith("--config=") else word
            for word in values["command"]
        ]
        patience_s = pods.startup_failures * PROBE_PERIOD_S
        values["start_period_s"] = min(patience_s, LONGEST_START_PERIOD_S)
        values["health_retries"] = min(MOST_RETRIES, 3 + max(0, patience_s - LONGEST_START_PERIOD_S) // 20)
        text = render("ecs/task-definition.json.j2", **values)
        yield File(f"{pods.service.name}.json", text)


def _values(pods: Pods, site: Site) -> dict[str, Any]:
    text, logging = properties(pods), log4j2()
    return {
        "pods": pods,
        "site": site,
        "folders": IN_IMAGE,
        "tokens_folder": str(Path(IN_IMAGE.tokens).parent),
        "user_id": USER_ID,
        "gateway_port": GATEWAY_PORT,
        "probe_period_s": PROBE_PERIOD_S,
        "properties": text,
        "log4j2": logging,
        "digest": hashlib.sha256((text + logging).encode()).hexdigest()[:16],
        "command": command(pods, own_daemon=pods.sharing == "mps-in-pod"),
        "gateway": gateway_command(pods),
        "probe": probe_command(pods),
        "loaded_probe": probe_command(pods, loaded=True),
        "gateway_probe": gateway_probe_command(),
        "environment": environment(pods),
        "cpu": f"{round(1000 * pods.service.vcpus)}m",
        "memory": f"{pods.service.memory_bytes // 2**20 or 1}Mi",
        "memory_mib": pods.service.memory_bytes // 2**20 or 1,
    }
