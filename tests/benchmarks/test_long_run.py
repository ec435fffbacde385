"""What a long run makes of its samples: growth, and what is no good run."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.long_run import told
from benchmarks.long_run.disturbances import Disturbed
from benchmarks.long_run.growth import growth_percent_per_hour
from benchmarks.long_run.samples import FRONTEND, Sample
from benchmarks.long_run.traffic import Killed, Tally

MIB = 2**20
HOUR = [float(at_s) for at_s in range(0, 3600, 10)]


def line(level: float, per_hour: float, begun_s: float = 0.0) -> list[tuple[float, float]]:
    return [(begun_s + at_s, level + per_hour * at_s / 3600) for at_s in HOUR]


class TestGrowth:
    def test_what_grows_steadily_is_told_in_percent_of_what_there_is(self) -> None:
        found = growth_percent_per_hour([line(1000.0, 100.0)], 0.0)
        assert found == pytest.approx(100 * 100 / 1050, rel=0.01)

    def test_the_warm_up_does_not_count(self) -> None:
        life = [(at_s, 100.0 if at_s < 600 else 500.0) for at_s in HOUR]
        assert growth_percent_per_hour([life], 600.0) == 0.0

    def test_a_peak_and_a_step_that_stays_move_it_little(self) -> None:
        peaked = [(at_s, 900.0 if 1800 < at_s < 1900 else 500.0) for at_s in HOUR]
        assert growth_percent_per_hour([peaked], 0.0) == 0.0

    def test_a_successor_that_takes_more_is_no_growth_of_a_process(self) -> None:
        assert growth_percent_per_hour([line(500.0, 0.0), line(600.0, 0.0, 3600.0)], 0.0) == 0.0

    def test_growth_within_each_of_several_lives_is_seen(self) -> None:
        lives = [line(500.0, 50.0), line(500.0, 50.0, 3600.0)]
        assert growth_percent_per_hour(lives, 0.0) == pytest.approx(100 * 50 / 525, rel=0.01)

    def test_too_few_samples_tell_nothing(self) -> None:
        assert growth_percent_per_hour([[(0.0, 1.0), (10.0, 2.0)]], 0.0) is None
        assert growth_percent_per_hour([], 0.0) is None

    @given(st.floats(1.0, 1e6), st.floats(0.1, 1e3))
    def test_it_does_not_depend_on_the_unit(self, level: float, unit: float) -> None:
        plain, scaled = (
            growth_percent_per_hour([line(factor * level, factor * level / 10)], 0.0)
            for factor in (1.0, unit)
        )
        assert plain == pytest.approx(scaled)


def row(
    at_s: float, who: str = FRONTEND, pid: int = 1, rss_mib: float = 500.0, descriptors: int = 90
) -> Sample:
    rss_bytes = round(rss_mib * MIB)
    return Sample(at_s, who, pid, rss_bytes, rss_bytes, descriptors, 40, 1.0, 0)


class TestSummary:
    def test_a_run_in_which_nothing_grows_has_no_problem(self) -> None:
        rows = [row(at_s) for at_s in HOUR] + [row(at_s, "bert", 2) for at_s in HOUR]
        found = told.summary(rows, ["bert"], Tally(), Disturbed(), every_s=600.0)
        assert told.problems(found) == []
        assert (found["frontend_growth_percent"], found["worker_growth_percent"]) == (0.0, 0.0)

    def test_a_frontend_that_grows_a_worker_that_does_and_descriptors_are_told(self) -> None:
        rows = [row(at_s, rss_mib=500 + at_s / 36, descriptors=90 + int(at_s / 60)) for at_s in HOUR]
        rows += [replace(each, who="bert", pid=2) for each in rows]
        found = told.summary(rows, ["bert"], Tally(), Disturbed(), every_s=3600.0)
        assert [problem.partition(",")[0] for problem in told.problems(found)] == [
            "frontend grows by 17.8 % an hour",
            "bert grows by 18.1 % an hour",
            "the frontend has 40 descriptors more than at first",
        ]

    def test_wrong_answers_and_errors_are_told_with_the_first_of_them(self) -> None:
        tally = Tally()
        tally.fail("bert: negative 0.4, where 0.5 is right", wrong=True)
        tally.fail("bert: 500: no")
        found = told.summary([row(at_s) for at_s in HOUR], [], tally, Disturbed(), every_s=600.0)
        assert told.problems(found) == ["1 wrong answers", "1 errors that nothing explains"]
        assert found["first_failures"] == ["bert: negative 0.4, where 0.5 is right", "bert: 500: no"]


class TestKilled:
    def test_only_a_request_to_that_model_that_met_the_kill_is_explained_by_it(self) -> None:
        killed = Killed({"bert": [(10.0, 20.0)]})
        assert killed.explains("bert", 19.0, 25.0)
        assert killed.explains("bert", 5.0, 11.0)
        assert not killed.explains("bert", 1.0, 9.0)
        assert not killed.explains("bert", 21.0, 22.0)
        assert not killed.explains("resnet50", 12.0, 13.0)

    def test_while_it_lasts_it_explains_whatever_ends(self) -> None:
        killed = Killed()
        with killed.span("bert"):
            assert killed.explains("bert", 0.0, 1e12)
        assert not killed.explains("bert", 1e12, 1e12 + 1)
