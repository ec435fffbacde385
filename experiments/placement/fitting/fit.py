"""One way to fit each kind of interference."""

from collections.abc import Mapping, Sequence

from experiments.base.errors import UsageError
from experiments.placement.fitting.bilinear import additive, bilinear
from experiments.placement.fitting.features import Bytes, Named, Profiled, Utilisation
from experiments.placement.interference import NOT_FELT, Interference, Use, factor
from experiments.placement.latencies import LatencyTable
from experiments.profile.neighbours import Pair

KINDS = ("none", "linear", "profile", "pairs")


def fit(
    kind: str,
    pairs: Sequence[Pair],
    table: LatencyTable,
    *,
    uses: Mapping[str, Use] | None = None,
    uses_at_size: Mapping[tuple[str, int], Use] | None = None,
    moved: Mapping[str, Bytes] | None = None,
) -> Interference:
    """Interference of a kind, fitted to measured pairs.

    `none`: neighbours are not felt. `linear`: the gpu-let paper's, from what each model uses of L2 and DRAM
    on the whole GPU (`uses`) or on a part of that size (`uses_at_size`), fractions. `profile`: from the
    latencies in `table`, and what a batch moves (`moved`, bytes) where it is known; what it learns holds for
    other models.
    `pairs`: a sensitivity and a pressure for each model, by batch and size.

    Raises UsageError for another kind, without pairs, or where a model of theirs lacks what the kind needs.
    """
    if kind not in KINDS:
        raise UsageError(f"interference of kind {kind!r} is not known: use {', '.join(KINDS)}")
    if kind == "none":
        return NOT_FELT
    if not pairs:
        raise UsageError(f"interference of kind {kind} is fitted to measured pairs: give some, or use none")
    models = {batch.model for pair in pairs for batch in (pair.own, *pair.others)}
    if kind == "linear":
        known = {*(uses or {}), *(model for model, _ in uses_at_size or {})}
        _all_known(models, known, "what it uses of L2 and DRAM")
        return additive(pairs, Utilisation(uses or {}, uses_at_size or {}))
    if kind == "profile":
        _all_known(models, set(table.models()), "its latencies")
        return bilinear(pairs, Profiled(table, moved or {}))
    return bilinear(pairs, Named.among(batch for pair in pairs for batch in (pair.own, *pair.others)))


def predicted(interference: Interference, pair: Pair) -> float:
    """How many times as long as alone its own batch takes."""
    own = pair.own
    pressure = sum(interference.caused(other.model, other.size, other.batch) for other in pair.others)
    return factor(interference.felt(own.model, own.size, own.batch), pressure)


def _all_known(models: set[str], known: set[str], what: str) -> None:
    if missing := sorted(models - known):
        raise UsageError(f"{missing[0]}: {what} isn't known: measure it, or leave its pairs out")
