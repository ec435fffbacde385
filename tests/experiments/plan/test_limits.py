"""The least and the most that a plan may ask for, what it is without being asked, and what it will take."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.plan import Cell, Load, Plan, Trial, estimated_s, parse_slo, plan_from, settings_in

ONE = Plan(workers=(1,), batch_size=(1,), runs=1, noise_floor=False)
INF = float("inf")


def test_without_options_it_is_a_sweep_of_bert_in_a_closed_loop() -> None:
    plan = Plan()
    assert (plan.model, plan.workers, plan.batch_size, plan.batch_delay_ms) == (
        "bert",
        (1, 2),
        (1, 4, 8),
        (10,),
    )
    assert (plan.runs, plan.warm_up_s, plan.duration_s, plan.requests, plan.seed) == (5, 1.0, 3.0, None, 0)
    assert (plan.client_batch, plan.processes, plan.rate_rps, plan.arrivals) == ((1,), 1, (), "poisson")
    assert (plan.input_as, plan.goal, plan.check_answers) == ("body", "throughput", True)
    assert (plan.noise_floor, plan.interleave, plan.with_mps, plan.until_sure) == (True, False, False, False)


def test_one_of_everything_is_enough() -> None:
    least = replace(
        ONE, batch_delay_ms=(1,), concurrency=(1,), client_batch=(1,), processes=1, tokens=1,
        with_mps=True, thread_percentage=(1,), memory_limit_mib=(1,), warm_up_s=0.0, duration_s=0.001,
        budget_s=0.001,
    )  # fmt: skip
    assert [cell.limits for cell in least.cells()] == [[], ["1 %", "1 MiB"]]
    assert replace(ONE, requests=1, duration_s=None).trials()[0].load.requests == 1
    assert replace(ONE, with_mps=True, sm_chunks=(1,), thread_percentage=(100,)).cells()[2].limits == [
        "1 chunk"
    ]
    assert replace(ONE, rate_rps=(0.1,)).cells()[0].rate_rps == 0.1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"workers": 0}, "--workers must be 1 or more, not 0"),
        ({"batch_size": []}, "--batch-size needs at least one value"),
        ({"batch_delay_ms": []}, "--batch-delay needs at least one value"),
        ({"client_batch": []}, "--client-batch needs at least one value"),
        ({"runs": 0}, "--runs must be 1 or more, not 0"),
        ({"processes": 0}, "--processes must be 1 or more, not 0"),
        ({"concurrency": [8, 0]}, "--concurrency must be 1 or more, not 0"),
        ({"requests": 0}, "--requests must be 1 or more, not 0"),
        ({"tokens": 0}, "--tokens must be 1 or more, not 0"),
        ({"with_mps": True, "thread_percentage": 0}, "--thread-percentage must be from 1 to 100, not 0"),
        ({"with_mps": True, "thread_percentage": 101}, "--thread-percentage must be from 1 to 100, not 101"),
        ({"with_mps": True, "sm_chunks": 0}, "--sm-chunks must be 1 or more, not 0"),
        ({"duration_s": 0}, "--duration must be above 0 seconds, not 0"),
        ({"duration_s": INF}, "plan key 'duration_s' must be a number of seconds, not inf"),
        ({"duration_s": None}, "give either --requests or --duration"),
        ({"budget_s": 0}, "--budget must be above 0 seconds, not 0"),
        ({"warm_up_s": -0.1}, "--warm-up must be 0 or more seconds, not -0.1"),
        ({"warm_up_s": None}, "plan key 'warm_up_s' must be a number of seconds, not None"),
        ({"runs": None}, "plan key 'runs' must be a whole number, not None"),
        ({"rate_rps": True}, "plan key 'rate_rps' must be numbers of requests/s, not True"),
        ({"rate_rps": [50, None]}, "plan key 'rate_rps' must be numbers of requests/s, not None"),
        ({"workers": True}, "plan key 'workers' must be whole numbers, not True"),
        ({"model": None}, "plan key 'model' must be text, not None"),
        ({"server": [None]}, "plan key 'server' must be text, not None"),
        ({"seed": 10**18 + 1}, "plan key 'seed' must be a whole number, not 1000000000000000001"),
        ({"rate_rps": 1.001e18}, "plan key 'rate_rps' must be numbers of requests/s, not 1.001e"),
        ({"model": ["x" * 60]}, "plan key 'model' must be text, not ['" + "x" * 38 + "$"),
        ({"x" * 60: 1}, "unknown plan key '" + "x" * 40 + "'; known are arrivals, "),
        ({"zeal": 1, "agility": 2}, "unknown plan key 'agility'; known are arrivals, "),
        ({"thread_percentage": 50, "sm_chunks": 2}, "--thread-percentage is a setting of MPS"),
        ({"slo": "p99=1s", "requests": 5}, "give --duration"),
        ({"requests": 5, "processes": 2}, "give --duration"),
        ({"tokens": 5, "input": "texts/"}, "--tokens makes our own texts, --input takes yours"),
        ({"client_batch": 2, "input": "texts/"}, "--client-batch joins our own texts, --input takes yours"),
        ({"input_as": "json"}, "--input-as tells how your own files are sent: give --input too"),
        ({"input": "texts/", "input_as": "carrier"}, "--input-as must be one of body, form, json, not"),
    ],
)  # fmt: skip
def test_less_or_more_is_refused_with_the_reason(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan_from(values)
    assert said in f"{caught.value}$"


@pytest.mark.parametrize("option", ["duration_s", "budget_s", "warm_up_s", "rate_rps"])
def test_nothing_takes_for_ever(option: str) -> None:
    with pytest.raises(UsageError, match="not inf"):
        replace(ONE, **{option: (INF,) if option == "rate_rps" else INF})


def test_numbers_are_taken_up_to_a_million_million_million() -> None:
    assert plan_from({"seed": 10**18, "rate_rps": 10**18}).rate_rps == (10**18,)


def test_your_own_files_are_sent_one_to_a_request_in_any_of_three_ways() -> None:
    for input_as in ("body", "form", "json"):
        assert replace(ONE, input="texts/", input_as=input_as).input_as == input_as


def test_a_plan_that_was_written_down_is_read_as_it_was(tmp_path: Path) -> None:
    plan = Plan(with_mps=True, thread_percentage=(50,), rate_rps=(1.5,), precision=(None, "fp16"))
    assert plan_from(asdict(plan)) == plan
    (tmp_path / "plan.yaml").write_text("workers: 4\nslo: p99=1s\nduration_s: 5\n")
    assert plan_from(settings_in(tmp_path / "plan.yaml")).duration_s == 5
    (tmp_path / "plan.yaml").write_text("# nothing\n")
    assert plan_from(settings_in(tmp_path / "plan.yaml")) == Plan()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"a: {", "is no YAML"),
        (b"\xff", "is no YAML"),
        (b"[1]", "must hold 'key: value' lines"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        settings_in(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


# How large it is


def test_a_hundred_thousand_trials_are_the_most() -> None:
    assert replace(ONE, runs=100_000).runs == 100_000
    with pytest.raises(UsageError, match=r"the plan has 100,001 trials, more than 100,000: ask for fewer"):
        replace(ONE, runs=100_001)


@pytest.mark.parametrize("noise_floor", [False, True])
def test_they_are_counted_before_they_are_listed(noise_floor: bool) -> None:
    plan = Plan(
        workers=(1, 2), batch_size=(1, 8), batch_delay_ms=(5, 10, 20), client_batch=(1, 4),
        rate_rps=(5.0, 6.0), concurrency=(8, 16, 32), engine=("torch", "onnxruntime"),
        precision=("fp32", "bf16"), with_mps=True, server=("torchserve", "triton"), sm_chunks=(1, 2),
        memory_limit_mib=(100, 200), runs=1, noise_floor=noise_floor,
    )  # fmt: skip
    with pytest.raises(UsageError, match=f"the plan has {len(plan.cells()) * 1000:,} trials"):
        replace(plan, runs=1000)


# What it will take


def test_each_configuration_is_loaded_once_a_pass_and_each_run_takes_its_warm_up_and_its_time() -> None:
    assert estimated_s(replace(ONE, batch_size=(1, 8), runs=2).trials()) == 4 * (1 + 3) + 4 * 6
    assert estimated_s(replace(ONE, runs=4).trials()) == 4 * (1 + 3) + 6
    assert estimated_s(replace(ONE, duration_s=None, requests=100).trials()) == 1 + 5 + 6
    assert estimated_s(replace(ONE, slo="p99=1s", duration_s=30.0).trials()) == 57 + 6


@pytest.mark.parametrize(
    ("runs", "passes"), [(1, [(False, 1), (True, 1)]), (4, [(False, 2), (True, 4), (False, 2)])]
)
def test_with_mps_in_between_runs_without_it_are_halved(runs: int, passes: list[tuple[bool, int]]) -> None:
    trials = replace(ONE, with_mps=True, runs=runs).trials()
    assert [trial.cell.mps for trial in trials] == [mps for mps, count in passes for _ in range(count)]
    assert sorted(trial.run for trial in trials if not trial.cell.mps) == list(range(1, runs + 1))


# What each cell gets


def test_every_client_process_has_a_request_in_flight_and_a_search_as_many_as_an_open_loop() -> None:
    (cell,) = ONE.cells()
    assert ONE.load_of(cell).connections == 2
    assert replace(ONE, processes=8).load_of(cell).connections == 8
    assert replace(ONE, slo="p99=1s").load_of(cell).connections == 512
    assert replace(ONE, concurrency=(7,), slo="p99=1s").trials()[0].load.connections == 7


def test_a_cell_has_the_name_of_the_archive_wherever_that_is() -> None:
    (cell,) = replace(ONE, model="/models/mine/tiny.mar").cells()
    assert cell.model == "tiny"


def test_a_cell_tells_what_is_unusual_about_it() -> None:
    cell = Cell("bert", False, "bf16", None, 1, 8, 20, 64, 123.4567, 2)
    assert str(cell) == (
        "bert, 1 worker, batch size 8, bf16, batch delay 20 ms, 2 inputs a request, "
        "sent 123.457 requests/s, 64 in flight at most"
    )
    assert str(
        replace(cell, precision=None, batch_delay_ms=10, rate_rps=None, client_batch=1, concurrency=8)
    ) == ("bert, 1 worker, batch size 8, 8 in flight")


def test_unless_told_otherwise_an_input_is_a_request() -> None:
    load = Load(connections=8, duration_s=3.0, requests=None, warm_up_s=1.0)
    assert (load.processes, load.arrivals, load.slo) == (1, "poisson", None)
    cell = Cell("bert", True, None, None, 2, 8, 10, sm_chunks=2)
    assert Trial(cell, load, run=1, position=0, seed=0).attempt == 0
    assert cell.client_batch == 1
    assert str(cell) == "bert, 2 workers, batch size 8, MPS at 2 chunks"


@pytest.mark.parametrize(("text", "told"), [("p0.5=0.5ms", "p0.5=0.5ms"), ("p99.99<2s", "p99.99=2000ms")])
def test_a_latency_bound_may_be_of_any_percentile_and_time_above_0(text: str, told: str) -> None:
    assert str(parse_slo(text)) == told


def test_a_latency_bound_is_written_with_six_digits() -> None:
    assert str(parse_slo("p99.12345678<1234.5678ms")) == "p99.1235=1234.57ms"


@pytest.mark.parametrize("text", ["p100=5ms", "p0=5ms", "p50=0ms"])
def test_nothing_else_is_one(text: str) -> None:
    with pytest.raises(UsageError):
        parse_slo(text)
    assert parse_slo("p50=0.1s").bound_s == 0.1
    assert parse_slo("p90=1s").allowed == pytest.approx(0.1)
