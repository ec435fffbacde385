"""What runs say about each other: known values, rules that hold for all figures, simulated truth."""

from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from experiments.verdict.stats import (
    OUTCOMES,
    compare,
    compare_all,
    compare_with_best,
    hodges_lehmann,
    holm,
    mann_whitney_p,
    median_of,
    noise_floor,
    range_coverage,
    rank_sum_cdf,
    ratio_interval,
    runs_needed,
    smallest_p,
)

Floats = npt.NDArray[np.float64]

# Figures on a coarse grid, so that ties come up.
figures = st.lists(st.integers(1, 40).map(float), min_size=1, max_size=7).map(np.array)
some_p = st.lists(st.floats(0, 1), min_size=1, max_size=7).map(np.array)


def runs_of(truth_rps: float, noise: float, *shape: int, seed: int) -> Floats:
    """Throughputs of so many runs with log-normal noise."""
    return truth_rps * np.exp(noise * np.random.default_rng(seed).standard_normal(shape))


# The median


def test_five_runs_hold_the_true_median_with_93_75_percent() -> None:
    median = median_of([12.1, 14.0, 13.1, 13.3, 12.8])
    assert (median.median, median.low, median.high, median.runs) == (13.1, 12.1, 14.0, 5)
    assert median.confidence == 0.9375
    assert range_coverage(6) == 0.96875
    assert range_coverage(1) == 0


def test_the_range_covers_the_true_median_as_often_as_it_says() -> None:
    runs = runs_of(100, 0.3, 20_000, 5, seed=1)
    covered = (runs.min(axis=1) <= 100) & (runs.max(axis=1) >= 100)
    assert abs(covered.mean() - range_coverage(5)) < 0.01


def test_no_runs_have_no_median() -> None:
    with pytest.raises(ValueError, match="no runs"):
        median_of([])


# The distribution that interval and p come from


def test_the_orderings_of_five_against_five_are_the_gaussian_binomials() -> None:
    """OEIS A063746, row 5: partitions of u into at most 5 parts of at most 5."""
    orderings = np.diff(rank_sum_cdf(5, 5) * 252, prepend=0)
    expected = [1, 1, 2, 3, 5, 7, 9, 11, 14, 16, 18, 19, 20, 20, 19, 18, 16, 14, 11, 9, 7, 5, 3, 2, 1, 1]
    np.testing.assert_allclose(orderings, expected, atol=1e-9)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4), (5, 3), (3, 6)])
def test_the_distribution_is_that_of_all_orderings_listed(m: int, n: int) -> None:
    seen = np.zeros(m * n + 1)
    for ranks in combinations(range(m + n), m):
        seen[sum(ranks) - m * (m - 1) // 2] += 1
    np.testing.assert_allclose(rank_sum_cdf(m, n), np.cumsum(seen) / comb(m + n, m))


def test_it_stays_exact_for_many_runs() -> None:
    below = rank_sum_cdf(40, 40)
    assert below[0] == pytest.approx(1 / comb(80, 40), rel=1e-12)
    assert below[-1] == 1
    assert np.all(np.diff(below) >= 0)


def test_the_table_that_all_share_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        rank_sum_cdf(2, 2)[0] = 0.5


# p


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000))
def test_p_is_that_of_scipy_where_nothing_ties(m: int, n: int, seed: int) -> None:
    figures = np.random.default_rng(seed).permutation(m + n) + 1.0
    expected = mannwhitneyu(figures[:m], figures[m:], method="exact").pvalue
    assert mann_whitney_p(figures[:m], figures[m:]) == pytest.approx(expected)


@given(figures, figures)
def test_ties_never_make_p_smaller_than_an_order_of_the_tied_would(a: Floats, b: Floats) -> None:
    up, down = a * 1.001, a * 0.999
    assert mann_whitney_p(a, b) >= max(mann_whitney_p(up, b), mann_whitney_p(down, b))


def test_equal_figures_tell_nothing() -> None:
    assert mann_whitney_p([7.0] * 5, [7.0] * 5) == 1


def test_five_against_five_can_reach_0_008_and_not_less() -> None:
    assert mann_whitney_p([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]) == smallest_p(5, 5) == pytest.approx(2 / 252)


# The ratio and its interval


def test_a_textbook_example() -> None:
    """Hollander and Wolfe, Nonparametric Statistical Methods, 1973, p. 69: permeability of the human
    chorioamnion; R's help page of wilcox.test has it too, with a one-sided p of 0.1272."""
    term = np.exp([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    early = np.exp([1.15, 0.88, 0.90, 0.74, 1.21])
    assert np.log(hodges_lehmann(term, early)) == pytest.approx(0.305)
    assert mann_whitney_p(term, early) == pytest.approx(2 * 0.1272, abs=1e-4)


def test_the_confidence_comes_in_steps_and_is_at_least_the_one_asked_for() -> None:
    a, b = [101, 102, 103, 104, 105], [91, 92, 93, 94, 95]
    assert ratio_interval(a, b, 0.95)[2] == pytest.approx(1 - 8 / 252)
    assert ratio_interval(a, b, 0.90)[2] == pytest.approx(1 - 24 / 252)
    low, high, confidence = ratio_interval(a, b, 0.999)
    assert (low, high) == (pytest.approx(101 / 95), pytest.approx(105 / 91))
    assert confidence == pytest.approx(1 - 2 / 252)  # all that ten runs give


def test_a_level_that_is_just_reached_is_reached() -> None:
    """1 - 0.8 is a little less than 0.2 in a computer, and 1 - 0.9 less than 0.1."""
    assert ratio_interval([4, 5, 6], [1, 2, 3], 0.8)[2] == pytest.approx(1 - 4 / 20)
    assert runs_needed(1, 0.9) == 3
    assert compare([4, 5, 6], [1, 2, 3], confidence=0.9).verdict == "better"


def test_one_run_against_one_is_a_ratio_without_confidence() -> None:
    low, high, confidence = ratio_interval([120.0], [100.0])
    assert (low, high, confidence) == (pytest.approx(1.2), pytest.approx(1.2), 0)


def test_many_pairs_at_once_are_as_each_by_itself() -> None:
    a, b = runs_of(118, 0.05, 2, 3, 5, seed=30), runs_of(100, 0.05, 2, 3, 4, seed=31)
    assert hodges_lehmann(a, b).shape == mann_whitney_p(a, b).shape == (2, 3)
    low, high, confidence = ratio_interval(a, b)
    for at in np.ndindex(2, 3):
        assert hodges_lehmann(a, b)[at] == hodges_lehmann(a[at], b[at])
        assert mann_whitney_p(a, b)[at] == mann_whitney_p(a[at], b[at])
        assert (low[at], high[at], confidence) == ratio_interval(a[at], b[at])


@given(figures, figures, st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_exchanged_cells_mirror_ratio_and_interval(a: Floats, b: Floats, confidence: float) -> None:
    low, high, achieved = ratio_interval(a, b, confidence)
    mirrored_low, mirrored_high, mirrored = ratio_interval(b, a, confidence)
    assert hodges_lehmann(a, b) * hodges_lehmann(b, a) == pytest.approx(1)
    assert (low * mirrored_high, high * mirrored_low) == (pytest.approx(1), pytest.approx(1))
    assert achieved == mirrored
    assert mann_whitney_p(a, b) == mann_whitney_p(b, a)


@given(figures, figures, st.floats(0.01, 100))
def test_the_unit_does_not_matter_and_a_faster_machine_shows(a: Floats, b: Floats, factor: float) -> None:
    assert hodges_lehmann(factor * a, factor * b) == pytest.approx(hodges_lehmann(a, b))
    assert hodges_lehmann(factor * a, b) == pytest.approx(factor * hodges_lehmann(a, b))
    scaled, plain = ratio_interval(factor * a, b), ratio_interval(a, b)
    assert scaled[:2] == (pytest.approx(factor * plain[0]), pytest.approx(factor * plain[1]))


@given(figures, figures, st.integers(0, 6), st.floats(1, 10))
def test_a_run_that_turns_out_faster_never_lowers_the_ratio(
    a: Floats, b: Floats, which: int, factor: float
) -> None:
    faster = a.copy()
    faster[which % a.size] *= factor
    assert hodges_lehmann(faster, b) >= hodges_lehmann(a, b) * (1 - 1e-12)
    assert np.all(np.array(ratio_interval(faster, b)) >= np.array(ratio_interval(a, b)) * (1 - 1e-12))


@given(figures, figures, st.sampled_from([0.8, 0.95, 0.99]))
def test_p_and_interval_agree(a: Floats, b: Floats, confidence: float) -> None:
    low, high, achieved = ratio_interval(a, b, confidence)
    if achieved >= confidence:
        assert (low > 1 or high < 1) == bool(mann_whitney_p(a, b) <= 1 - achieved + 1e-12)


@given(figures, figures)
def test_the_ratio_lies_in_its_interval(a: Floats, b: Floats) -> None:
    low, high, _ = ratio_interval(a, b)
    assert low <= hodges_lehmann(a, b) * (1 + 1e-12)
    assert hodges_lehmann(a, b) <= high * (1 + 1e-12)


def test_a_figure_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="leave failed runs out"):
        hodges_lehmann([0.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="leave failed runs out"):
        hodges_lehmann([1.0], [0.0])


@pytest.mark.parametrize("confidence", [0.80, 0.90, 0.95])
@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_the_interval_covers_the_true_ratio_at_its_stated_rate(confidence: float, noise: float) -> None:
    """2,000 simulated experiments of five runs against five."""
    a, b = runs_of(118, noise, 2_000, 5, seed=10), runs_of(100, noise, 2_000, 5, seed=11)
    low, high, stated = ratio_interval(a, b, confidence)
    covered = np.mean((low <= 1.18) & (high >= 1.18))
    assert abs(covered - stated) < 0.015


# Many pairs


def test_holm_on_paper() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(some_p)
def test_holm_is_the_closed_test_of_bonferroni(p: Floats) -> None:
    """By definition: a pair is shown when every group of pairs that it belongs to is, by the smallest p of
    the group times its size."""
    pairs = range(len(p))
    groups = [set(g) for size in range(1, len(p) + 1) for g in combinations(pairs, size)]
    expected = [max(min(1, len(g) * min(p[j] for j in g)) for g in groups if i in g) for i in pairs]
    np.testing.assert_allclose(holm(p), expected)


@given(some_p)
def test_corrected_p_is_no_smaller_and_keeps_the_order(p: Floats) -> None:
    corrected = holm(p)
    assert np.all(corrected >= p)
    assert np.all(np.diff(corrected[np.argsort(p)]) >= 0)


def test_runs_that_a_grid_needs() -> None:
    assert [runs_needed(pairs) for pairs in (1, 6, 7, 40)] == [4, 5, 6, 7]
    assert runs_needed(1, confidence=0.0) == 1
    assert smallest_p(0, 5) == smallest_p(1, 1) == 1  # a probability, where nothing can be shown too


FAST, SLOW = [118.0, 119, 120, 121, 122], [98.0, 99, 100, 101, 102]
ALIKE = [118.5, 119.5, 120.5, 119.1, 121.5]


def test_a_pair_has_one_of_four_verdicts() -> None:
    assert compare(FAST, SLOW).verdict == "better"
    assert compare(SLOW, FAST).verdict == "worse"
    assert compare(FAST, ALIKE).verdict == "within noise"
    assert compare(FAST[:3], SLOW[:3]).verdict == "not enough runs"


def test_a_comparison_carries_all_that_a_report_prints() -> None:
    shown = compare(FAST, SLOW)
    assert shown.ratio == pytest.approx(1.2)
    assert 1 < shown.low < 1.2 < shown.high < 1.25
    assert shown.confidence == pytest.approx(1 - 8 / 252)
    assert shown.p == shown.p_corrected == pytest.approx(2 / 252)


def test_the_outcome_is_what_holds_among_all_pairs_or_else_what_the_pair_says_by_itself() -> None:
    assert [compare(*pair).outcome for pair in [(FAST, SLOW), (SLOW, FAST)]] == ["better", "worse"]
    seven = compare_all([(FAST, SLOW)] * 3 + [(SLOW, FAST)] * 3 + [(FAST, ALIKE)])
    outcomes = ["better by itself"] * 3 + ["worse by itself"] * 3 + ["not enough runs"]
    assert [each.outcome for each in seven] == outcomes
    assert compare(FAST, ALIKE).outcome == "within noise"
    assert {*outcomes, "better", "worse", "within noise"} == set(OUTCOMES)


def test_a_difference_below_the_noise_floor_is_noise_though_every_run_shows_it() -> None:
    assert compare(FAST, SLOW, noise_floor=1.19).verdict == "better"
    assert compare(FAST, SLOW, noise_floor=1.22).verdict == "within noise"
    assert compare(SLOW, FAST, noise_floor=1.22).verdict == "within noise"


def test_the_noise_floor_is_the_ratio_of_a_cell_to_itself_whichever_was_faster() -> None:
    assert noise_floor(FAST, SLOW) == pytest.approx(1.2)
    assert noise_floor(SLOW, FAST) == pytest.approx(1.2)
    assert noise_floor(FAST, []) == 1


def test_six_pairs_of_five_runs_can_be_shown_and_seven_cannot() -> None:
    assert {each.verdict for each in compare_all([(FAST, SLOW)] * 6)} == {"better"}
    seven = compare_all([(FAST, SLOW)] * 6 + [(FAST, ALIKE)])
    assert {each.verdict for each in seven} == {"not enough runs"}
    assert [each.verdict_alone for each in seven] == ["better"] * 6 + ["within noise"]


def test_a_cell_without_runs_leaves_its_pair_undecided_and_the_others_alone() -> None:
    shown, missing = compare_all([(FAST, SLOW), (FAST, [])])
    assert shown.verdict == "better"
    assert missing.verdict == missing.verdict_alone == "not enough runs"
    assert np.isnan(missing.ratio)
    assert (missing.low, missing.high, missing.confidence) == (0, np.inf, 1)
    assert missing.p == missing.p_corrected == 1


def test_no_pairs_no_verdicts() -> None:
    assert compare_all([]) == []


@settings(max_examples=30)
@given(st.lists(st.tuples(figures, figures), min_size=1, max_size=6))
def test_more_pairs_never_make_a_verdict_surer(pairs: list[tuple[Floats, Floats]]) -> None:
    for one, grid in zip(map(compare_all, ([p] for p in pairs)), compare_all(pairs), strict=True):
        assert grid.p_corrected >= one[0].p_corrected == grid.p
        assert grid.verdict_alone == one[0].verdict
        assert grid.verdict in (one[0].verdict, "within noise", "not enough runs")


@pytest.mark.thorough
@pytest.mark.parametrize("runs", [5, 7, 10])
def test_better_is_wrong_in_at_most_5_percent_of_grids_of_40_equal_pairs(runs: int) -> None:
    a, b = runs_of(100, 0.05, 4_000, 40, runs, seed=20), runs_of(100, 0.05, 4_000, 40, runs, seed=21)
    shown = holm(mann_whitney_p(a, b)) <= 0.05
    assert shown.any(axis=1).mean() <= 0.05
    few = [compare_all(list(zip(a[grid], b[grid], strict=True))) for grid in range(20)]
    verdicts = np.array([[each.verdict in ("better", "worse") for each in grid] for grid in few])
    np.testing.assert_array_equal(verdicts, shown[:20])


# The best of many


def test_the_leader_has_the_highest_median_and_its_rivals_are_those_not_shown_to_be_slower() -> None:
    leader, compared = compare_with_best([SLOW, FAST, ALIKE, [], FAST[:1]])
    assert leader == 1 or leader == 2
    assert compared[0].verdict == "better"
    assert compared[3].verdict == compared[4].verdict == "not enough runs"
    assert compared[3 - leader].verdict == "within noise"


def test_a_cell_without_runs_cannot_lead_and_a_single_cell_has_no_rivals() -> None:
    assert compare_with_best([[], SLOW])[0] == 1
    assert compare_with_best([[], [0.01, 0.02]])[0] == 1
    assert compare_with_best([SLOW]) == (0, {})


def test_the_best_of_ten_takes_more_than_four_runs_of_each() -> None:
    _, compared = compare_with_best([FAST[:4], *[SLOW[:4]] * 9])
    assert {each.verdict for each in compared.values()} == {"not enough runs"}
    _, alike = compare_with_best([ALIKE, *[[figure * 0.999 for figure in ALIKE]] * 9])
    assert {each.p_corrected for each in alike.values()} == {1.0}


def test_a_leader_by_its_median_that_loses_most_pairs_shows_nothing() -> None:
    leader, compared = compare_with_best([[1, 2, 10.1, 10.2, 10.3], [9, 9.5, 10, 30, 40]])
    assert leader == 0
    assert compared[1].ratio < 1
    assert compared[1].p < compared[1].p_corrected == 1


@pytest.mark.thorough
@pytest.mark.parametrize(("truth_rps", "runs"), [([100, 100, 100, 100], 5), ([100, 99, 97, 90, 80, 60], 6)])
def test_the_best_cell_leads_or_is_a_rival_in_95_percent(truth_rps: list[float], runs: int) -> None:
    missed = alone = 0
    for seed in range(400):
        cells = [runs_of(rps, 0.03, runs, seed=1000 * seed + i) for i, rps in enumerate(truth_rps)]
        leader, compared = compare_with_best(cells)
        rivals = [i for i, each in compared.items() if each.verdict != "better"]
        missed += 0 not in (leader, *rivals)
        alone += leader != 0 and not rivals
    assert missed <= 0.05 * 400
    assert alone <= 0.05 * 400
