"""Services to write files for: one of this project's example each on a GPU and on a CPU, changed as a test
needs."""

from dataclasses import replace
from typing import Any

from experiments.base.paths import ROOT
from experiments.fleet.manifests import read_services
from experiments.fleet.service import Service

EXAMPLE = ROOT / "experiments" / "fleet" / "manifests" / "example.yaml"
ON_GPU, ON_CPU = read_services(EXAMPLE)


def on_gpu(**changes: Any) -> Service:
    return replace(ON_GPU, **changes)


def on_cpu(**changes: Any) -> Service:
    return replace(ON_CPU, **changes)
