"""Figures as a reader meets them: no exponents, no range from a number to itself."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.numbers import plain
from experiments.plan import Bound
from experiments.plan.slo import parse_slo
from experiments.report.drawing.canvas import short
from experiments.verdict.words import apart, change, number, percent, range_of, span, told

EXPONENT = re.compile(r"\de[+-]?\d")
values = st.floats(1e-4, 1e9)


@given(value=values, other=values)
def test_no_figure_for_a_reader_has_an_exponent(value: float, other: float) -> None:
    figures = [
        number(value), number(-value), change(value), apart(1 + value), percent(value), percent(value, 2),
        percent(value, 3), range_of(value, other), told(value, value, other), short(value), plain(value, 2),
        plain(value / 1e9, 2), str(Bound("p99", value)), Bound("memory", value).written(value),
    ]  # fmt: skip
    assert not [figure for figure in figures if EXPONENT.search(figure)]


@given(value=values, factor=st.floats(1, 1.01))
def test_a_range_whose_ends_read_alike_is_one_number(value: float, factor: float) -> None:
    ends = re.split(r" \u2013 | to ", range_of(value, value * factor))
    assert len(ends) == len(set(ends))


@given(values, st.integers(1, 6))
def test_a_plain_number_is_within_its_digits(value: float, digits: int) -> None:
    assert float(plain(value, digits).replace(",", "")) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (percent(2.23, 2), "223\u00a0%"),
        (percent(0.9375), "93.75\u00a0%"),
        (apart(3.2), "220\u00a0%"),
        (apart(1.0003), "0.03\u00a0%"),
        (change(1234.5), "\u00d71,234"),
        (change(0.00001), "\u00d70.00001"),
        (number(0.00001), "0.0000100"),
        (number(float("nan")), "\u2013"),
        (plain(1e6, 6), "1,000,000"),
        (plain(1e-05, 2), "0.00001"),
        (str(Bound("p99", 20000.0)), "p99<20000ms"),
        (str(parse_slo("p99=1000s")), "p99=1000000ms"),
        (span("0.05", "0.05"), "0.05"),
        (told(5.0, 5.001, 5.002), "5.00 (5.00)"),
    ],
)
def test_figures_read_as_one_would_write_them(shown: str, said: str) -> None:
    assert shown == said
