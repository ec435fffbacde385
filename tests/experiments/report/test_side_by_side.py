"""The page of a sweep of servers and engines: who stands beside whom, and what is said of it."""

import json
from pathlib import Path

import pytest

from experiments.plan import Plan
from experiments.report import write_report
from experiments.results import read
from experiments.results.trial_result import trial_result_from
from experiments.verdict import judge
from tests.support.report_folders import ENVIRONMENT, a_folder

EVERYTHING = Plan(
    workers=(1, 2),
    batch_size=(1, 8),
    server=("torchserve", "triton", "litserve", "bentoml"),
    engine=("torch", "onnxruntime"),
    runs=3,
)
ON_A_CPU = {
    **ENVIRONMENT,
    "gpus": [],
    "archive": {
        **ENVIRONMENT["archive"],
        "parity": [{"engine": "onnxruntime", "precision": "fp32", "differs": 3e-7}],
    },
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = a_folder(
        tmp_path_factory.mktemp("servers") / "all", EVERYTHING, environment=ON_A_CPU, ceilings=True
    )
    written = write_report(folder)
    return written.read_text(), (folder / "report.md").read_text()


@pytest.mark.thorough
def test_servers_and_engines_stand_side_by_side_at_their_best(page: tuple[str, str]) -> None:
    html, markdown = page
    assert "Servers and engines side by side" in html
    section = markdown[markdown.index("### Side by side") :]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:10]
    assert {tuple(row.split(" | ")[:2]) for row in rows} == {
        (f"| {server}", engine)
        for server in ("TorchServe", "Triton", "LitServe", "BentoML")
        for engine in ("torch", "onnxruntime")
    }
    assert all(" 3e-07 " in row for row in rows if "onnxruntime" in row)


@pytest.mark.thorough
def test_the_page_says_what_a_batchs_delay_means_to_each(page: tuple[str, str]) -> None:
    assert "Triton: counted from the arrival of a request in the queue" in page[0]
    assert "BentoML: not heeded" in page[0]


@pytest.mark.thorough
def test_where_all_are_equal_torchserve_with_torch_is_advised(page: tuple[str, str]) -> None:
    assert "within noise: stay with" in page[1] or "(torch)" in page[1].splitlines()[0]


@pytest.mark.thorough
def test_a_folder_of_before_is_torchserves(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "old", Plan(workers=(1,), batch_size=(1, 8), runs=2), environment=ON_A_CPU)
    plan = json.loads((folder / "plan.json").read_text())
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    new = judge(read(folder))
    for each in (plan, *lines):
        del each["server"]
    for line in lines:
        del line["alone_latency_ms"], line["idle_cpu_cores"]
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    old = judge(read(folder))
    assert trial_result_from(lines[0]).trial.cell.server == "torchserve"
    assert old.left == []
    assert old.trials == new.trials
    assert old.advice == new.advice
    assert "Side by side" not in write_report(folder).read_text()
