"""Costs to predict from, in round numbers."""

from experiments.predict.costs import Costs, Setting
from experiments.predict.curve import Curve, curve
from experiments.predict.simulation import Stalls

NO_STALLS = Stalls()


def a_setting(workers: int = 1, *, mps: bool = False, engine: str | None = None) -> Setting:
    return Setting(
        mps=mps,
        engine=engine,
        precision=None,
        thread_percentage=None,
        memory_limit_mib=None,
        sm_chunks=None,
        workers=workers,
    )


def a_line(batch_ms: float, request_ms: float) -> Curve:
    return curve((size, batch_ms + request_ms * size) for size in (1, 2, 4, 8))


def some_costs(stalls: Stalls = NO_STALLS) -> Costs:
    """A batch of n takes 4 + n ms on one worker and 8 + 2 n on two, 1 ms more with the handler's work, and
    0.5 ms in TorchServe."""
    bare = {a_setting(1): a_line(4, 1), a_setting(2): a_line(8, 2)}
    handled = {a_setting(1): a_line(5, 1), a_setting(2): a_line(9, 2)}
    return Costs(bare, handled, {1: a_line(0.5, 0), 2: a_line(0.5, 0)}, stalls)
