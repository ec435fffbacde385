"""Files written for every way to share a card, as the tests of their formats read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from experiments.fleet.manifests import SHARINGS, Site, Target, write
from experiments.fleet.service import Service, Sharing
from tests.experiments.fleet.manifests.services import on_cpu, on_gpu

SCHEMAS = Path(__file__).with_name("schemas")


def fleet(sharing: Sharing) -> list[Service]:
    """A service on a GPU, shared in this way, and one on a CPU, of a size that does not change."""
    n = 1 if sharing == "whole" else 2
    gpu = on_gpu(sharing=sharing, instances_per_card=n, workers=1)
    return [gpu, on_cpu(least_instances=2, most_instances=2)]


def every_kubernetes_object(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects of all ways to share a card, with archives in the image and KEDA, and with archives on a volume
    and Kubernetes' own autoscaler, each by a name."""
    for sharing in SHARINGS:
        for claim in (None, "models"):
            where = folder / f"{sharing}-{claim}"
            site = Site(models_claim=claim, autoscaler="hpa" if claim else "keda")
            for path in write(fleet(sharing), where, "kubernetes", site=site):
                yield str(path.relative_to(folder)), yaml.safe_load(path.read_text())


def written(folder: Path, target: Target, sharing: Sharing = "mps-in-pod") -> dict[str, str]:
    """The files' texts by their paths below `folder`."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in write(fleet(sharing), folder, target, sharing)
    }


def refuse_unlike(schema: str, value: object) -> None:
    """Raises jsonschema's ValidationError where `value` is not as the schema has it."""
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.json").read_text())).validate(value)
