"""What is asked for: servers, models, the rate of requests to each and the bound that it is to keep. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.base.errors import UsageError
from experiments.plan import Slo


@dataclass(frozen=True, slots=True)
class Served:
    """A model and its requests: `rate_rps` a second, `slo` what most of them may take.

    `archive` is bert, resnet50, embeddings or the path of a .mar. Its requests are texts of `tokens` tokens,
    or the files of `input`; without both those of a sweep. Raises UsageError for what makes no sense.
    """

    name: str
    archive: str
    rate_rps: float
    slo: Slo
    workers: int = 1
    batch_size: int = 8
    batch_delay_ms: int = 10
    tokens: int | None = None
    input: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UsageError(f"a model can't be called {self.name!r}: use letters, digits and _")
        if not 0 < self.rate_rps < math.inf:
            raise UsageError(f"{self.name}: a rate is above 0 requests/s, not {self.rate_rps:g}")
        whole = {
            "workers": self.workers,
            "batch_size": self.batch_size,
            "batch_delay_ms": self.batch_delay_ms,
        }
        if self.tokens is not None:
            whole["tokens"] = self.tokens
        for key, value in whole.items():
            if value < 1:
                raise UsageError(f"{self.name}: `{key}` is 1 or more, not {value}")
        if self.tokens is not None and self.input is not None:
            raise UsageError(f"{self.name}: give `tokens` or `input`, not both")


@dataclass(frozen=True, slots=True)
class Together:
    """Two models or more under each of the servers in turn, `runs` times each.

    A run takes `duration_s` after `warm_up_s` of the same load; before the first, every server gets
    `settling_s` of load with its answers checked. A worker has `threads` torch threads. Raises UsageError.
    """

    servers: tuple[str, ...]
    models: tuple[Served, ...]
    runs: int = 5
    duration_s: float = 20.0
    warm_up_s: float = 2.0
    settling_s: float = 5.0
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, names in (("server", self.servers), ("model", [model.name for model in self.models])):
            if twice := _twice(names):
                raise UsageError(f"the {kind} {twice} is there twice: leave one out, or give it another name")
        if not self.servers:
            raise UsageError("no server is named: `servers: [torchserve]` is one")
        if len(self.models) < 2:
            raise UsageError(
                "several models are measured together here, and one is named: use mps.run for it"
            )
        if self.runs < 0 or self.threads < 1 or not 0 < self.duration_s < math.inf:
            raise UsageError("`runs` is 0 or more, `threads` 1 or more, and `duration_s` above 0")
        if not (0 <= self.warm_up_s < math.inf and 0 < self.settling_s < math.inf):
            raise UsageError("`warm_up_s` is 0 or more, and `settling_s` above 0")


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if list(names).count(name) > 1), None)
