"""What is asked, and what is right: by the plain forward pass, without a server and without short cuts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.answers.compare import TOLERANCE, difference, parsed
from experiments.answers.reference import PLAIN
from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.bench import pool_for
from experiments.bench.archive import provenance_of
from experiments.bench.inputs import spread
from experiments.ceilings.bare import Seat, seated_models
from experiments.load import Body

MOST = 12  # different requests of a model
ALONE = Seat({"CUDA_VISIBLE_DEVICES": "", "HANDLER_COMPILE": "none"})


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the store: its requests, and the right answer to each, parsed."""

    name: str
    kind: str
    rate_rps: float
    pool: Sequence[Body]
    right: Sequence[Any]

    @property
    def malformed(self) -> str:
        """The kind of malformed requests that it deserves (benchmarks/parts/malformed.py)."""
        return "image" if self.kind == "image" else "text"

    def wrong(self, number: int, answer: bytes) -> str | None:
        """Why an answer to request `number` is wrong: it is off by more than 1e-4. None where it is right."""
        return difference(self.right[number], parsed(answer), TOLERANCE["fp32"]).wrong


def model(name: str, rate_rps: float) -> Model:
    """An archive of model_store/ with its right answers, which takes the time of loading it. Raises
    UsageError where it is not there."""
    archive = archive_of(name)
    kind = provenance_of(archive).kind
    pool = spread(pool_for(kind, None), MOST)
    with seated_models(archive, [ALONE], threads=1, precision="fp32", pool=pool, settings=PLAIN) as (alone,):
        right = [json.loads(each) for each in alone.answers()]
    return Model(name, kind, rate_rps, pool, right)


def archive_of(name: str) -> Path:
    """Raises UsageError where it is not there."""
    archive = ROOT / "model_store" / f"{name}.mar"
    if not archive.is_file():
        raise UsageError(f"no archive {archive}: `make mar` builds it")
    return archive
