"""A latency bound such as p99=100ms. What a sample says about whether it is kept is in evidence.py."""

from __future__ import annotations

import re
from dataclasses import dataclass

from experiments.base.errors import UsageError
from experiments.base.numbers import plain

_SLO = re.compile(r"p(\d+(?:\.\d+)?)\s*(?:=|<=|<)\s*(\d+(?:\.\d+)?)\s*(ms|s)")


@dataclass(frozen=True, slots=True)
class Slo:
    """`percentile` percent of the requests are to take `bound_ms` at most."""

    percentile: float
    bound_ms: float

    @property
    def allowed(self) -> float:
        """The share of the requests that may take longer."""
        return 1 - self.percentile / 100

    @property
    def bound_s(self) -> float:
        return self.bound_ms / 1e3

    def __str__(self) -> str:
        return f"p{plain(self.percentile, 6)}={plain(self.bound_ms, 6, '')}ms"


def parse_slo(text: str) -> Slo:
    """Reads p99=100ms, p99.9<2s and the like. Raises UsageError for what is no such bound."""
    if not (match := _SLO.fullmatch(text.strip())):
        raise UsageError(f"{text!r} is no latency bound: write one like p99=100ms")
    percentile, bound = float(match[1]), float(match[2])
    if not 0 < percentile < 100:
        raise UsageError(f"{text!r}: a percentile lies between 0 and 100, like p99")
    if not bound > 0:
        raise UsageError(f"{text!r}: no request takes no time, give a bound above 0")
    return Slo(percentile, bound * (1e3 if match[3] == "s" else 1))
