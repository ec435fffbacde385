"""A goal's units, and how values are written in them."""

import pytest

from experiments.base.errors import UsageError
from experiments.plan import Bound, Goal, Plan, goal_from


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("p50<0.5ms", 0.5),
        ("p50<2s", 2000),
        ("memory<5b", 5),
        ("memory<3KiB", 3 * 1024),
        ("rss<3MiB", 3 * 1024**2),
        ("rss<3GiB", 3 * 1024**3),
        ("memory<3KB", 3000),
        ("memory<3MB", 3_000_000),
        ("memory<3GB", 3_000_000_000),
    ],
)
def test_a_limit_is_in_ms_or_bytes_whatever_it_was_written_in(text: str, limit: float) -> None:
    assert goal_from(text).bounds[0].limit == limit


@pytest.mark.parametrize("text", ["p99<0ms", "p99<1e999ms", "memory<0b"])
def test_it_is_above_0_and_finite(text: str) -> None:
    with pytest.raises(UsageError, match="must be above 0 and finite"):
        goal_from(text)


def test_values_are_written_in_ms_or_gib_with_four_digits_and_limits_whole() -> None:
    assert Bound("p99", 100).written(123.456) == "123.5ms"
    assert Bound("memory", 1).written(1.23456 * 2**30) == "1.235GiB"
    assert str(Bound("p99", 123.456)) == "p99<123.456ms"
    assert str(Bound("p99", 0.5)) == "p99<0.5ms"
    assert str(Bound("memory", 8 * 2**30)) == "memory<8GiB"


def test_figures_are_of_inputs_where_some_request_holds_several() -> None:
    single = Plan(workers=(1,), batch_size=(8,), noise_floor=False).cells()
    several = Plan(workers=(1,), batch_size=(8,), client_batch=(1, 2), noise_floor=False).cells()
    assert Goal().unit(single) == "requests/s"
    assert Goal().unit(several) == "inputs/s"
    assert Goal("requests per joule").unit(several) == "inputs/J"
