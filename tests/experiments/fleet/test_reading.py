"""Whatever a user's file holds: it is read, or refused in one line."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet import demand, prices
from experiments.fleet.demand import read_demands
from experiments.fleet.prices import read_prices
from experiments.fleet.reading import number

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.lists(st.integers(0, 9), max_size=2),
    st.just([1.5] * 24),
    st.sampled_from(["p99=1s", "USD", 1, 2.5]),
)
DEMANDS = st.fixed_dictionaries(
    {
        "demands": st.lists(
            st.one_of(
                ANYTHING,
                st.dictionaries(st.sampled_from(demand._DEMAND), ANYTHING),
                st.fixed_dictionaries({"model": ANYTHING, "slo": st.just("p99=1s"), "rate_rps": ANYTHING}),
            ),
            max_size=3,
        )
    }
)
PRICES = st.fixed_dictionaries(
    {
        "currency": ANYTHING,
        "region": ANYTHING,
        "date": ANYTHING,
        "instances": st.lists(st.dictionaries(st.sampled_from(prices._INSTANCE), ANYTHING), max_size=3),
    }
)


def read_or_refused(read: Callable[[Path], object], content: object) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file.yaml"
        path.write_text(yaml.safe_dump(content), "utf-8")
        with suppress(UsageError):
            read(path)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(content=st.one_of(ANYTHING, DEMANDS))
def test_any_demand(content: Any) -> None:
    read_or_refused(read_demands, content)


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(content=st.one_of(ANYTHING, PRICES))
def test_any_prices(content: Any) -> None:
    read_or_refused(read_prices, content)


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), True, "1", None])
def test_numbers_that_are_none(value: object) -> None:
    with pytest.raises(UsageError, match=r"^here is a number, not"):
        number("here", value)
