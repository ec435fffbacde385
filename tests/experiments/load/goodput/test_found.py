"""What was found, in words and as JSON."""

from __future__ import annotations

import json
import math

import pytest

from experiments.load.goodput import Goodput, NoGoodputError, Probe, as_json
from experiments.load.goodput.evidence import Evidence
from experiments.plan import Slo

BUSY = "other programs used 1.00 of 2 cores"
TOO_FAST = "the generator could not keep up: too fast"


def a_probe(rate_rps: float, holds: bool = True, **other: object) -> Probe:
    fields: dict[str, object] = {
        "verdict": "holds" if holds else "fails",
        "latency_ms": 50.0 if holds else 150.0,
        "found": Evidence(1000, 0 if holds else 500, 1.0),
        "measured_s": 5.0,
    }
    return Probe(rate_rps=rate_rps, holds=holds, **(fields | other))  # type: ignore[arg-type]


def found(*probes: Probe, rate_rps: float = 100, most_rps: float | None = 104, sure: bool = True) -> Goodput:
    return Goodput(Slo(99, 100), rate_rps, 97, most_rps, sure, 0.95, probes)


QUIET = (a_probe(80), a_probe(120, holds=False), a_probe(99), a_probe(101, holds=False))


def test_what_is_found_is_a_sentence() -> None:
    assert found(*QUIET).explain() == (
        "p99=100ms is kept up to 100 requests/s (4 looks, 4,000 requests); "
        "95% sure is kept at 97 and not kept at 104"
    )
    assert found(*QUIET, sure=False).explain().endswith("not kept at 104: measure longer to narrow that")
    assert found(*QUIET).problems() == []


def test_a_look_is_a_line() -> None:
    assert str(a_probe(80)) == "80 requests/s: holds, sure (50 ms, 5.0 s)"
    unsure = a_probe(80, holds=False, verdict="unsure", disturbed=BUSY)
    assert str(unsure) == f"80 requests/s: fails, not sure (150 ms, {BUSY}, 5.0 s)"


def test_the_look_nearest_to_the_limit_stands_for_it() -> None:
    assert found(*QUIET).nearest.rate_rps == 101  # nearer than 99, as a ratio
    longer = a_probe(101, found=Evidence(5000, 0, 1.0))
    assert found(*QUIET, longer).nearest is longer


def test_a_generator_at_its_limit_leaves_a_lower_bound() -> None:
    stopped = found(a_probe(100), a_probe(140, holds=False, generator_problem=TOO_FAST), most_rps=None)
    assert stopped.problems() == [f"the goodput is 100 requests/s or more: {TOO_FAST}"]
    assert "is kept up to 100 requests/s or more" in stopped.explain()


def test_a_generators_limit_far_above_the_servers_is_none() -> None:
    assert found(*QUIET, a_probe(400, holds=False, generator_problem=TOO_FAST)).problems() == []


def test_what_disturbed_looks_near_the_limit_is_a_problem_and_far_from_it_none() -> None:
    (problem,) = found(*QUIET, a_probe(98, disturbed=BUSY)).problems()
    assert problem.startswith(
        "the goodput may be other than 100 requests/s: this machine was busy, each time"
    )
    assert problem.endswith(BUSY)
    assert found(*QUIET, a_probe(50, disturbed=BUSY)).problems() == []


def test_a_server_that_changes_meanwhile_is_told() -> None:
    (problem,) = found(a_probe(120), a_probe(95, holds=False), a_probe(90)).problems()
    assert problem.startswith("it holds at 120 requests/s and fails at 95: the server or the machine changed")


def test_as_json_it_has_every_look() -> None:
    told = as_json(found(*QUIET, a_probe(130, holds=False, latency_ms=math.nan)))
    assert json.loads(json.dumps(told)) == told
    assert (told["goodput_rps"], told["surely_rps"], told["surely_not_rps"]) == (100, 97, 104)
    assert told["fails_at_rps"] == 101
    assert told["probes"][0]["latency_ms"] == 50
    assert told["probes"][0]["requests"] == 1000
    assert told["probes"][-1]["latency_ms"] is None
    assert told["explanation"] == found(*QUIET, a_probe(130)).explain()


@pytest.mark.parametrize("rate_rps", [60, 99])
def test_the_next_higher_rate_that_failed_is_named(rate_rps: float) -> None:
    assert found(*QUIET, rate_rps=rate_rps).fails_at_rps == 101


def test_at_the_limit_itself_no_rate_is_the_next_higher_one() -> None:
    assert found(*QUIET, a_probe(110, holds=False), rate_rps=101).fails_at_rps == 110
    assert found(*QUIET, rate_rps=150).fails_at_rps is None


def test_a_rate_that_something_else_stopped_does_not_stand_for_the_limit_but_where_all_are_such() -> None:
    failed = a_probe(100, holds=False, failure="1 x 503")
    assert failed.stops == "1 x 503"
    assert a_probe(100, holds=False, generator_problem=TOO_FAST).stops == TOO_FAST
    assert found(*QUIET, failed).nearest.rate_rps == 101
    assert found(failed).nearest is failed


def test_the_lowest_rate_that_the_generator_could_not_send_says_why() -> None:
    stopped = [
        a_probe(rate, holds=False, generator_problem=f"{TOO_FAST} at {rate}") for rate in (180, 140, 160)
    ]
    assert found(a_probe(100), *stopped, most_rps=None).generator_problem == f"{TOO_FAST} at 140"
    assert found(a_probe(100), *stopped, most_rps=140).generator_problem == f"{TOO_FAST} at 140"
    assert found(a_probe(100), *stopped, most_rps=139).generator_problem is None


def test_what_the_generator_could_not_send_at_the_limit_and_did_next_time_is_no_problem() -> None:
    assert found(a_probe(100, holds=False, generator_problem=TOO_FAST), *QUIET).generator_problem is None


@pytest.mark.parametrize(("rate_rps", "near"), [(90, False), (91, True), (109, True), (111, False)])
def test_a_tenth_from_the_limit_is_near(rate_rps: float, near: bool) -> None:
    assert (found(*QUIET, a_probe(rate_rps, disturbed=BUSY)).disturbed == BUSY) == near


def test_where_no_look_is_near_the_nearest_one_counts() -> None:
    assert found(a_probe(50), a_probe(200, holds=False, disturbed=BUSY), rate_rps=110).disturbed == BUSY
    assert found(a_probe(50, disturbed=BUSY), a_probe(200, holds=False), rate_rps=110).disturbed is None


def test_a_rate_that_held_once_and_failed_once_is_the_limit() -> None:
    assert found(a_probe(100), a_probe(100, holds=False)).problems() == []


def test_a_look_that_fails_contradicts_no_other_where_none_holds() -> None:
    assert found(a_probe(0.5, holds=False), rate_rps=0.4).problems() == []


def test_looks_that_are_not_sure_contradict_nobody() -> None:
    unsure = a_probe(120, verdict="unsure")
    assert found(unsure, a_probe(95, holds=False), a_probe(90)).problems() == []


def test_how_sure_it_is_is_told_as_far_as_it_is_known() -> None:
    def told(surely_rps: float | None, surely_not_rps: float | None) -> str:
        limit = Goodput(Slo(99, 100), 100, surely_rps, surely_not_rps, True, 0.95, (a_probe(99),))
        return limit.explain().removeprefix(
            "p99=100ms is kept up to 100 requests/s (1 look, 1,000 requests); "
        )

    assert told(97, None) == "95% sure is kept at 97"
    assert told(None, 104) == "95% sure is not kept at 104"
    assert told(None, None) == "a guess: measure longer at each rate to be sure"


def test_where_nothing_holds_the_machine_may_be_why() -> None:
    error = NoGoodputError("nothing holds", BUSY)
    assert (str(error), error.disturbed) == (f"nothing holds; this machine was busy meanwhile: {BUSY}", BUSY)
    assert (str(NoGoodputError("nothing holds")), NoGoodputError("nothing holds").disturbed) == (
        "nothing holds",
        None,
    )


def test_as_json_it_is_valid_where_there_is_no_problem() -> None:
    quiet, busy = as_json(found(*QUIET)), as_json(found(*QUIET, a_probe(98, disturbed=BUSY)))
    assert (quiet["valid"], quiet["problems"], quiet["sure"]) == (True, [], True)
    assert (busy["valid"], len(busy["problems"])) == (False, 1)
    assert quiet["slo"] == "p99=100ms"
    assert quiet["confidence"] == 0.95
