"""What neighbours do to each other by the gpu-let paper's linear model, worked out by hand."""

import pytest

from experiments.placement.interference import NOT_FELT, Linear, Use, factor

USE = Use((1, 8), (0.1, 0.8), (0.2, 0.9))
MODEL = Linear(l2_own=0.1, l2_other=0.2, dram_own=0.3, dram_other=0.4, constant=1.1, uses={"net": USE})


def test_use_lies_on_the_line_between_known_batch_sizes() -> None:
    assert USE.at(1) == (0.1, 0.2)
    assert USE.at(2) == pytest.approx((0.2, 0.3))
    assert USE.at(99) == (0.8, 0.9)


def test_a_batch_on_half_of_the_gpu_feels_and_causes_half_of_what_it_would_on_the_whole() -> None:
    assert MODEL.felt("net", 100, 2) == pytest.approx((1.1 + 0.1 * 0.2 + 0.3 * 0.3, 1.0))
    assert MODEL.felt("net", 50, 2) == pytest.approx((1.1 + 0.1 * 0.1 + 0.3 * 0.15, 1.0))
    assert MODEL.caused("net", 100, 2) == pytest.approx(0.2 * 0.2 + 0.4 * 0.3)
    assert MODEL.caused("net", 50, 2) == pytest.approx(0.2 * 0.1 + 0.4 * 0.15)


def test_of_an_unknown_model_the_constant_alone_is_known() -> None:
    assert MODEL.felt("other", 100, 2) == (1.1, 1.0)
    assert MODEL.caused("other", 100, 2) == 0.0


def test_a_factor_is_at_least_one() -> None:
    assert factor((1.1, 2.0), 0.25) == pytest.approx(1.6)
    assert factor((0.5, 1.0), 0.25) == 1.0


def test_without_a_model_nobody_is_felt() -> None:
    assert NOT_FELT.felt("net", 50, 8) == (1.0, 0.0)
    assert NOT_FELT.caused("net", 50, 8) == 0.0
    assert factor(NOT_FELT.felt("net", 50, 8), NOT_FELT.caused("net", 50, 8)) == 1.0
