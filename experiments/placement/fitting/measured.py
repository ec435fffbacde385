"""Interference for a demand, from what `python -m mps.profile --pairs` measured."""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np

from experiments.base.errors import UsageError
from experiments.placement.demand import Workload
from experiments.placement.fitting.fit import fit, predicted
from experiments.placement.interference import Interference
from experiments.placement.latencies import LatencyTable
from experiments.profile.neighbours import Pair, read_beside


def interference_of(
    path: Path, workloads: Sequence[Workload], table: LatencyTable, tell: Callable[[str], None]
) -> Interference:
    """Fitted to the pairs themselves where each two models of the demand were measured side by side,
    otherwise to what the profile tells of them, which holds for models that were not; `tell` hears which, and
    how well it fits.

    Raises UsageError where the file can't be read, is of several devices, or knows none of the profile's
    models.
    """
    measured = read_beside(path)
    devices = sorted({one.device for one in measured})
    if len(devices) > 1:
        raise UsageError(f"{path} is of several devices, {' and '.join(devices)}: give a file of one")
    known = set(table.models())
    pairs = [one.pair for one in measured if _models(one.pair) <= known]
    if not pairs:
        raise UsageError(
            f"{path} has no two of the profile's models, {', '.join(sorted(known))}: measure some"
        )
    asked = sorted({workload.model for workload in workloads})
    seen = [_models(pair) for pair in pairs]
    unseen = [two for two in combinations_with_replacement(asked, 2) if set(two) not in seen]
    found = fit("profile" if unseen else "pairs", pairs, table)
    off = [100 * abs(predicted(found, pair) / pair.times - 1) for pair in pairs]
    never = f"; {' and '.join(unseen[0])} were never seen side by side" if unseen else ""
    kind = "latencies and pairs" if unseen else "pairs"
    tell(
        f"interference: fitted to {kind}, off by {np.median(off):.1f} % at the median, {max(off):.1f} % at "
        f"most{never}"
    )
    return found


def _models(pair: Pair) -> set[str]:
    return {pair.own.model, *(other.model for other in pair.others)}
