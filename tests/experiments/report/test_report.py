"""The report of a results folder: what it says, of whole results and of poor ones."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Plan, goal_from, plan_from, settings_in
from experiments.report import findings, table, write_comparison, write_report
from experiments.report.drawing.canvas import round_numbers
from experiments.report.figures.latency import frontier
from experiments.report.page import drawn, html, markdown, of_run
from experiments.results import read
from experiments.results.trial_result import READABLE
from experiments.verdict import judge, verdict_sentence
from experiments.verdict.sentence import banners, what_mps_does
from experiments.verdict.words import change, joined, number, shortened
from mps.report import app
from tests.support.builders import a_result
from tests.support.report_folders import BOTH_ARMS, ENVIRONMENT, WITHOUT_GPU, a_folder

ONE_CELL = Plan(workers=(1,), batch_size=(1,), runs=1, noise_floor=False)
SMALL = Plan(workers=(1, 2), batch_size=(1, 4), runs=3)
IN_ORDER = [
    "throughput",
    "mps",
    "latency",
    "resources",
    "ceilings",
    "predicted",
    "published",
    "cells",
    "invalid",
    "environment",
    "reproduce",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of both arms, with ceilings and with its report."""
    folder = a_folder(tmp_path_factory.mktemp("results") / "whole", ceilings=True)
    write_report(folder)
    return folder


def page_of(folder: Path) -> str:
    page = of_run(judge(read(folder)))
    return html(page, drawn(page))


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    body = re.sub(r"<(style|script|svg|details).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def headline(page: str) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", page)
    return " ".join(unescape(found).split())


def summary_of(folder: Path) -> str:
    """report.md on one line: the quick way to what a report says."""
    return " ".join(markdown(of_run(judge(read(folder)))).split())


def test_the_verdict_says_what_to_use_how_much_better_it_is_and_how_sure_that_is(whole: Path) -> None:
    verdict = verdict_sentence(judge(read(whole))).replace("\u00a0", " ")
    assert verdict.startswith("Use batch size 8 on 2 workers with MPS: 57")
    assert "+25 % over the runner-up, batch size 8 on 2 workers (" in verdict
    assert "with 95.9 % confidence)" in verdict


def test_the_sections_come_in_their_order(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert re.findall(r'<section id="(\w+)"', page) == IN_ORDER


@pytest.mark.thorough
def test_the_page_needs_nothing_but_itself(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert len(page.encode()) < 3e6
    assert re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"', page) == []
    assert "@import" not in page
    assert "url(http" not in page


def test_every_drawing_has_a_title_and_a_description_with_its_numbers(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    drawings = re.findall(r'<svg role="img".*?</svg>', page, flags=re.DOTALL)
    assert len(drawings) == len(re.findall(r'<div class="panel">', page))
    for drawing in drawings:
        assert re.search(r"<title [^>]*>\w.*</title><desc [^>]*>.*\d.*</desc>", drawing)
    medians = [line.median_rps for line in judge(read(whole)).grid]
    (throughput,) = re.findall(r"<desc id=\"throughput-0-d\">(.*?)</desc>", page)
    assert number(medians[0]) in throughput


def test_ids_are_unique_although_a_page_holds_many_drawings(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:xlink:href="|url\()#([^")]*)', page))
    assert used <= set(ids)


def test_drawings_follow_the_colours_of_the_page(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    drawings = "".join(re.findall(r'<svg role="img".*?</svg>', page, flags=re.DOTALL))
    assert "var(--off)" in drawings
    assert re.findall(r"#[0-9a-f]{6}\b", drawings) == []


def test_pictures_lie_beside_the_page(whole: Path) -> None:
    pictures = {path.stem for path in (whole / "figures").glob("*.png")}
    expected = {"throughput", "mps", "latency", "memory", "energy", "ceilings"}
    assert pictures == {*expected, "published-torchserve_mps_doc"}


@pytest.mark.thorough
def test_a_report_can_be_made_again_and_keeps_no_picture_of_an_earlier_one(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", ONE_CELL, ceilings=True)
    before = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == before
    assert (folder / "figures" / "ceilings.png").exists()
    (folder / "ceilings.json").unlink()
    write_report(folder)
    assert not (folder / "figures" / "ceilings.png").exists()


def test_pairs_are_judged_with_all_others_allowed_for(whole: Path) -> None:
    said = what_mps_does(judge(read(whole))).replace("\u00a0", " ")
    assert said.startswith("Of 4 pairs of cells, MPS is better in 2 (+25 %")
    assert "worse in 2 (\u221210 %" in said


def test_where_runs_are_too_few_for_all_pairs_each_pair_speaks_for_itself(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", replace(BOTH_ARMS, runs=4))
    said = what_mps_does(judge(read(folder))).replace("\u00a0", " ")
    assert "MPS is better by itself in 2" in said
    assert "a verdict that allows for all 4 pairs takes 5 runs of each cell or more" in said


def test_the_noise_floor_is_that_of_the_cell_that_was_measured_twice(whole: Path) -> None:
    measured = judge(read(whole))
    assert measured.floor is not None
    assert 1 < measured.floor < 1.02
    assert "batch size 1 on 1 worker, measured twice" in findings.noise(measured)


def test_a_stand_in_and_random_weights_are_said_before_any_number(whole: Path) -> None:
    text = text_of((whole / "report.html").read_text())
    stood_in = text.index("these are figures of a test and of no GPU")
    assert stood_in < text.index("The model's weights are random") < text.index("Best configuration")
    assert "this run: NVIDIA Abacus (a stand-in)" in text
    results = replace(read(whole), environment=WITHOUT_GPU | {"archive": {}})
    honest = banners(judge(results))
    assert list(honest) == []


def test_the_summary_for_a_pull_request_says_the_same_in_short(whole: Path) -> None:
    text = (whole / "report.md").read_text()
    assert text.startswith(f"**{verdict_sentence(judge(read(whole)))}**")
    assert "![Throughput by batch size](figures/throughput.png)" in text
    assert "| workers | batch | MPS | requests/s |" in text
    assert "these are figures of a test and of no GPU" in text
    assert "git checkout 0123456789abcdef" in text


def test_the_plan_of_a_results_folder_can_be_run_again(whole: Path) -> None:
    assert plan_from(settings_in(whole / "plan.json")) == BOTH_ARMS
    assert f"--plan {whole}/plan.json" in (whole / "report.md").read_text()


def test_a_run_without_a_gpu_leaves_out_what_it_has_not_and_says_what_would_fill_it(tmp_path: Path) -> None:
    text = summary_of(a_folder(tmp_path / "run", SMALL, environment=WITHOUT_GPU))
    assert "Not compared: --with-mps measures both arms." in text
    assert "Not measured: --ceilings does that." in text
    assert "Resident memory of the workers" in text
    assert "J/1000" not in text


def test_partial_results_say_what_is_missing_and_how_to_go_on(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", trials=20)
    text = summary_of(folder)
    assert text.startswith("**Use batch size 8")
    go_on = f"python -m mps.run --resume {folder}"
    assert f"Not complete: 34 of 54 runs are not measured. Go on with {go_on}" in text
    assert "20 runs are valid; 34 of the plan's 54 are not measured" in text


def test_a_resumed_run_tells_what_had_changed(tmp_path: Path) -> None:
    later = {**ENVIRONMENT, "started_at": "2026-11-22T09:00:00+00:00", "python": "3.12.1"}
    environment = {**ENVIRONMENT, "resumed": [later, {**later, "python": "3.11.7"}]}
    text = summary_of(a_folder(tmp_path / "run", SMALL, environment=environment))
    assert "Resumed 2026-11-22 09:00: python: 3.11.7 -> 3.12.1" in text
    assert "on the same machine, with the same software" in text


@pytest.mark.thorough
def test_one_cell_with_one_run_is_no_comparison(tmp_path: Path) -> None:
    page = page_of(a_folder(tmp_path / "run", ONE_CELL))
    assert headline(page).startswith("Use batch size 1 on 1 worker: ")
    assert "runner-up" not in text_of(page)
    assert "There is one run of a cell: no range" in text_of(page)


def test_where_all_runs_are_invalid_there_is_no_verdict_but_the_reason(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", SMALL, problems=lambda trial: ["12 answers were 503 & worse"])
    page = page_of(folder)
    assert headline(page).startswith("No verdict: all 15 runs are invalid: 12 answers were 503 & worse")
    assert "12 answers were 503 &amp; worse" in page
    assert re.findall(r'<section id="(\w+)"', page) == ["invalid", "environment", "reproduce"]


def test_nothing_measured_yet_is_said_too(tmp_path: Path) -> None:
    page = page_of(a_folder(tmp_path / "run", SMALL, trials=0))
    assert headline(page) == "Nothing is measured yet: 15 runs to go."


def test_invalid_runs_are_listed_with_their_reason_and_not_counted(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", SMALL, problems=lambda trial: ["throttled"] * (trial.position == 0))
    measured = judge(read(folder))
    (row,) = table.of_invalid(measured).rows
    first = SMALL.trials()[0]
    assert (row[1].text, row[2].text) == (f"{first.run}", "throttled")
    assert len(measured.measured(first.cell).rps) == 2
    assert findings.invalid(measured) == "14 of 15 runs are valid; no answer was checked."


@pytest.mark.parametrize("content", [None, "{", "[]"], ids=["missing", "torn", "a list"])
def test_an_environment_that_can_not_be_read_does_not_stop_the_report(
    tmp_path: Path, content: str | None
) -> None:
    folder = a_folder(tmp_path / "run", SMALL)
    (folder / "environment.json").unlink()
    if content:
        (folder / "environment.json").write_text(content)
    text = summary_of(folder)
    assert "environment.json can't be read" in text
    assert "unknown machine" in text


def test_a_torn_last_line_is_told(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", SMALL)
    with (folder / "trials.jsonl").open("a") as file:
        file.write('{"schema')
    assert "the last line is torn and was dropped" in summary_of(folder)


def test_what_was_printed_elsewhere_is_text_in_the_page(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", SMALL, problems=lambda trial: ["<script>alert(1)</script>"])
    assert "<script>alert" not in page_of(folder)


@pytest.mark.thorough
def test_shares_that_gave_the_same_multiprocessors_are_said_to_be_one(tmp_path: Path) -> None:
    plan = replace(ONE_CELL, with_mps=True, thread_percentage=(25, 50, 51))
    trials = a_folder(tmp_path / "run", plan) / "trials.jsonl"
    lines = [json.loads(line) for line in trials.read_text().splitlines()]
    seen = {None: 132, 25: 32, 50: 66, 51: 66}
    lines = [line | {"multiprocessors": [seen[line["thread_percentage"]]]} for line in lines]
    trials.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = text_of(page_of(tmp_path / "run"))
    assert "50 and 51 % gave the same 66 multiprocessors. What differs between them is noise." in page
    assert "SMs" in page


def test_a_goal_with_a_bound_is_part_of_the_verdict(whole: Path) -> None:
    advised = judge(read(whole), goal_from("throughput with p99<100ms"))
    assert " requests/s with p99 below 100ms" in verdict_sentence(advised)
    hopeless = judge(read(whole), goal_from("throughput with p99<1ms"))
    assert verdict_sentence(hopeless).startswith("No verdict: nothing that was measured meets the goal")


def test_what_is_no_results_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a results folder"):
        write_report(tmp_path)


@pytest.mark.thorough
def test_a_folder_that_can_not_be_written_is_named_with_the_way_on(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", ONE_CELL)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ExperimentError, match=r"can.t write the report to .*/out: Not a directory; give --out"
    ):
        write_report(folder, out=tmp_path / "file" / "out")


@pytest.mark.thorough
def test_several_runs_are_laid_side_by_side(tmp_path: Path) -> None:
    slow = a_folder(tmp_path / "slow", SMALL)
    fast = a_folder(tmp_path / "fast", SMALL, scale=2.0, environment=ENVIRONMENT | {"git_commit": "other"})
    page = write_comparison([slow, fast], tmp_path / "both").read_text()
    assert headline(page).startswith("In fast, on NVIDIA Abacus (a stand-in), bert reaches most: ")
    text = text_of(page)
    assert "Not measured alike: commits differ" in text
    assert "Against slow: 4 " in text
    assert '<a href="../fast/report.html">' in page
    assert "fast: NVIDIA Abacus (a stand-in)" in text
    assert (tmp_path / "both" / "figures" / "runs.png").exists()


@pytest.mark.thorough
def test_runs_of_other_models_have_no_cells_in_common(tmp_path: Path) -> None:
    bert = a_folder(tmp_path / "bert", SMALL)
    resnet = a_folder(tmp_path / "resnet", replace(SMALL, model="resnet50"))
    text = text_of(write_comparison([bert, resnet], tmp_path / "both").read_text())
    assert "No cell of bert has valid runs in another of these" in text
    assert "resnet50 reaches most" in text


@pytest.mark.thorough
def test_cells_whose_loads_came_from_another_node_are_not_compared_with_others(tmp_path: Path) -> None:
    loads = {"resource": "load", "kind": "2 cores of Abacus 9000", "nodes": ["b cores 0-1"]}
    here = a_folder(tmp_path / "here", SMALL)
    afar = a_folder(tmp_path / "afar", SMALL, environment={**ENVIRONMENT, "load_from": loads})
    text = text_of(write_comparison([here, afar], tmp_path / "both").read_text())
    assert "Not measured alike: where loads came from differ" in text
    assert "No cell of here has valid runs in another of these" in text
    assert "loads from other nodes, those with the resource load, each 2 cores of Abacus 9000" in text
    alone = text_of(write_report(afar).read_text())
    assert "Loads came from other nodes, those with the resource load" in alone


@pytest.mark.thorough
def test_figures_of_no_gpu_do_not_win_a_comparison(tmp_path: Path) -> None:
    stand_in = a_folder(tmp_path / "stand-in", SMALL, scale=9.0)
    cpu = a_folder(tmp_path / "cpu", SMALL, environment=WITHOUT_GPU)
    page = write_comparison([stand_in, cpu], tmp_path / "both").read_text()
    assert headline(page).startswith("In cpu, on Abacus 9000, 16 cores, bert reaches most: ")


def door(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.mark.thorough
def test_the_door_writes_reports_and_says_where(tmp_path: Path) -> None:
    one, other = a_folder(tmp_path / "one", ONE_CELL), a_folder(tmp_path / "other", ONE_CELL)
    assert door(one) == (0, f"{one}/report.html\n{one}/report.md\n")
    code, said = door(one, other)
    assert (code, said.split()[0]) == (0, f"{tmp_path}/comparison/report.html")
    assert (other / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not a results folder"),
        (["run", "run"], "given twice"),
        (["run", "--goal", "speed"], "--goal"),
    ],
    ids=["no folder", "twice", "goal"],
)
def test_the_door_tells_wrong_usage_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], said: str
) -> None:
    a_folder(tmp_path / "run", ONE_CELL)
    monkeypatch.chdir(tmp_path)
    code, output = door(*arguments)
    assert (code, output.count("\n")) == (2, 1)
    assert said in output


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.1, 1e4)), min_size=1, max_size=30),
)
def test_no_cell_is_both_faster_and_quicker_than_one_on_the_frontier(
    points: list[tuple[float, float]],
) -> None:
    cells = [SimpleNamespace(median_rps=rps, row={"latency_ms_p99": ms}) for rps, ms in points]
    best = frontier(cells, 99)  # type: ignore[arg-type]
    kept = [(cell.median_rps, cell.row["latency_ms_p99"]) for cell in best]
    assert kept == sorted(kept)
    for rps, ms in points:
        beaten = any(other >= rps and than <= ms for other, than in kept)
        assert beaten
        assert not any(rps > other and ms < than for other, than in kept)


@given(st.floats(1e-3, 1e6), st.floats(1.05, 1e5))
def test_axes_have_at_least_three_ticks_where_they_show_anything(low: float, factor: float) -> None:
    ticks = round_numbers(low, low * factor)
    assert len(ticks) >= 3
    assert all(low * 0.99 <= tick <= low * factor * 1.01 for tick in ticks)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1.184, "+18 %"),
        (0.89, "\u221211 %"),
        (1.004, "+0.4 %"),
        (3.14, "\u00d73.14"),
        (float("nan"), "\u2013"),
    ],
    ids=str,
)
def test_a_ratio_is_told_as_a_change(ratio: float, said: str) -> None:
    assert change(ratio).replace("\u00a0", " ") == said


def test_numbers_have_three_digits_or_all_before_the_point() -> None:
    assert [number(value) for value in (0.0523, 18.0, 99.96, 1234.5, 100.0)] == [
        "0.0523",
        "18.0",
        "100",
        "1,234",
        "100",
    ]


def test_words_are_joined_as_one_speaks() -> None:
    assert [joined("a"), joined("ab"), joined("abc")] == ["a", "a and b", "a, b and c"]
    assert shortened(["a", "b", "c", "d", "e"]) == "a, b, c and 2 others"


def test_a_results_older_than_this_program_are_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "run", SMALL, trials=0)
    (trial, *_) = SMALL.trials()
    line = a_result(trial).to_json() | {"schema_version": READABLE[0] - 1}
    (folder / "trials.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ExperimentError, match="schema version"):
        write_report(folder)


def test_the_summary_shows_the_first_rows_of_a_long_table(tmp_path: Path) -> None:
    plan = Plan(workers=(1, 2, 3), batch_size=(1, 2, 4, 8, 16), runs=1)
    text = markdown(of_run(judge(read(a_folder(tmp_path / "run", plan)))))
    assert "The first 12 of 16 rows." in text
