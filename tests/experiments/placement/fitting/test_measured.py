"""From a file of what ran side by side to interference that a placement keeps to."""

from itertools import product
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.placement.demand import Workload
from experiments.placement.fitting import Batch, Pair, interference_of, predicted
from experiments.placement.latencies import LatencyTable, Measured
from experiments.profile import Beside, write_beside

TABLE = LatencyTable(
    Measured(model, size, batch, 5 + batch * 100 / size)
    for model in ("calm", "loud")
    for size in (40, 50, 60, 100)
    for batch in (1, 8)
)
DEMAND = [Workload("calm", "calm", 10, 500), Workload("loud", "loud", 10, 500)]


def slowed(own: str, other: str) -> float:
    """The loud one costs its neighbour a third, the calm one a tenth."""
    return 1.33 if other == "loud" else 1.1


def beside(*models: str, device: str = "a card") -> list[Beside]:
    return [
        Beside(device, Pair(Batch(own, size, 1), (Batch(other, 100 - size, batch),), slowed(own, other)), 9)
        for own, other in product(models, repeat=2)
        for size in (40, 50, 60)
        for batch in (1, 8)
    ]


def test_measured_pairs_are_what_neighbours_cost(tmp_path: Path) -> None:
    path, told = tmp_path / "pairs.csv", []
    write_beside(path, measured := beside("calm", "loud"))
    found = interference_of(path, DEMAND, TABLE, told.append)
    assert all(predicted(found, one.pair) == pytest.approx(one.pair.times, rel=0.02) for one in measured)
    assert told[0].startswith("interference: fitted to pairs, off by 0.")


def test_two_that_were_never_side_by_side_are_predicted_from_the_profile(tmp_path: Path) -> None:
    path, told = tmp_path / "pairs.csv", []
    write_beside(path, beside("calm"))
    interference_of(path, DEMAND, TABLE, told.append)
    assert "latencies and pairs" in told[0]
    assert told[0].endswith("; calm and loud were never seen side by side")


def test_pairs_that_tell_nothing_of_the_profile_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    write_beside(path, beside("others"))
    with pytest.raises(UsageError, match="has no two of the profile's models, calm, loud"):
        interference_of(path, DEMAND, TABLE, print)
    write_beside(path, beside("calm") + beside("loud", device="another"))
    with pytest.raises(UsageError, match="is of several devices, a card and another"):
        interference_of(path, DEMAND, TABLE, print)
