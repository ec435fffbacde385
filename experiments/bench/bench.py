"""A bench: an archive, its inputs and a card, put together for a plan."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from experiments.base.errors import UsageError
from experiments.bench.archive import archive_of, archive_precision, provenance_of, sha256_of
from experiments.bench.engines import engine_served
from experiments.bench.inputs import pool_for
from experiments.load import Body, styled
from experiments.load.sources import HERE, Source
from experiments.plan import Cell, Plan
from experiments.serving.arms import MpsOptions
from experiments.serving.workers import PRECISION_VARIABLE
from handlers.archive.archives import Provenance
from handlers.archive.parity.measured import read_parity
from mps.card import Gpu


@dataclass(frozen=True, slots=True)
class Bench:
    """What a campaign measures on and with. `card` is None for the CPU. `of_several` has the
    requests that hold so many inputs each, where the plan asks for such. `files` are the inputs as a handler
    gets them alone, where `pool` sends them in a form or in JSON. `provenance` is what the archive says of
    itself; by default it is one that nothing is known of. `source` sends the loads."""

    archive: Path
    pool: Sequence[Body]
    card: Gpu | None = None
    mps: MpsOptions = field(default_factory=MpsOptions)
    of_several: Mapping[int, Sequence[Body]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    files: Sequence[Body] = ()
    source: Source = HERE

    @property
    def device(self) -> str:
        """The card's UUID, or "cpu"."""
        return self.card.uuid if self.card else "cpu"

    @property
    def gpus_dealt(self) -> dict[str, str]:
        """What tells TorchServe how many GPUs its workers are dealt: else it is all that nvidia-smi lists."""
        return {"number_of_gpu": "1" if self.card else "0"}

    @property
    def bare_pool(self) -> Sequence[Body]:
        """What the bare model is fed."""
        return self.files or self.pool

    @property
    def pools(self) -> Mapping[int, Sequence[Body]]:
        """The requests by the inputs that each holds."""
        return {1: self.pool, **self.of_several}

    def pool_of(self, cell: Cell) -> Sequence[Body]:
        """The requests of a cell."""
        return self.of_several.get(cell.client_batch, self.pool)

    def precision_of(self, cell: Cell) -> str:
        """What a cell's workers calculate in: the cell's own, else the environment's, else the archive's."""
        return cell.precision or os.environ.get(PRECISION_VARIABLE) or archive_precision(self.archive)

    def engine_of(self, cell: Cell) -> str:
        """What a cell's workers run on: the cell's own, else the environment's, else the archive's."""
        return engine_served(self.archive, cell.engine)

    def accepted_of(self, cell: Cell) -> float:
        """How far a cell's answers may be from torch's in fp32 because that was accepted when the archive was
        built: twice what its parity notes, since other inputs are sent; 0 where nothing had to be."""
        asked = self.engine_of(cell), self.precision_of(cell)
        noted = (one for one in read_parity(self.archive) if (one.engine, one.precision) == asked)
        return max((2 * one.decides for one in noted if not one.within), default=0.0)

    def archive_told(self) -> dict[str, Any]:
        """The archive as environment.json has it."""
        known = dataclasses.asdict(self.provenance)
        parity = [
            {"engine": one.engine, "precision": one.precision, "differs": one.decides}
            for one in read_parity(self.archive)
            if isfinite(one.decides)
        ]
        return {"name": self.archive.name, "sha256": sha256_of(self.archive), **known, "parity": parity}


def bench_for(plan: Plan, card: Gpu | None = None, mps: MpsOptions | None = None) -> Bench:
    """The bench that `plan` asks for: its archive, found by name or path, and its inputs.

    `card` is the GPU to measure on (`mps.card.gpu()` finds it), None for the CPU; `mps` says how the arm with
    MPS is set up. Raises UsageError where the archive or the inputs can't be had.
    """
    archive = archive_of(plan.model)
    provenance = provenance_of(archive)
    pools = {
        inputs: pool_for(provenance.kind, plan.input, plan.tokens, archive, inputs)
        for inputs in {1, *plan.client_batch}
    }
    files = pools[1] if plan.input is not None else []
    if files:
        pools[1] = _styled(files, plan.input_as)
    return Bench(archive, pools[1], card, mps or MpsOptions(), pools, provenance, files)


def _styled(files: Sequence[Body], style: str) -> list[Body]:
    try:
        return [styled(file, style) for file in files]
    except ValueError as error:
        raise UsageError(f"--input-as {style}: {error}") from error
