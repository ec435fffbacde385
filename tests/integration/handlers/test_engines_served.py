"""An archive on each engine behind a real TorchServe: a sweep over engines, whose answers are held against
torch's."""

from pathlib import Path

import pytest

from experiments.bench import bench_for
from experiments.measure import measure
from experiments.plan import Plan
from experiments.report import show
from experiments.verdict import judge
from handlers.archive.archives import build
from handlers.archive.engines.asked import Engines
from tests.support.checkpoints import tiny_bert
from tests.support.engines import needs_engines

pytestmark = [pytest.mark.wide, pytest.mark.integration, needs_engines]

MEASURED = {
    ("torch", "fp32"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
}


def test_a_sweep_over_engines_has_right_answers_from_each(tmp_path: Path) -> None:
    archive = build(
        "text",
        tiny_bert(tmp_path / "tiny", spread=0.2),
        tmp_path,
        name="tiny",
        trial=False,
        engines=Engines(("onnxruntime", "openvino"), int8=True),
    )
    plan = Plan(
        model=str(archive),
        workers=(1,),
        batch_size=(4,),
        engine=("torch", "onnxruntime", "openvino"),
        precision=("fp32", "int8"),
        duration_s=None,
        requests=100,
        warm_up_s=0.1,
        runs=1,
        noise_floor=False,
    )
    results = measure(plan, bench_for(plan), tmp_path / "results", ceilings=None)
    verdict = judge(results)
    for trial in verdict.trials:
        assert trial.valid, trial.problems
        assert trial.answers_checked
        assert trial.answers_wrong == 0
    summary = verdict.summary
    assert set(zip(summary["engine"], summary["precision"], strict=True)) == MEASURED
    show(verdict)
    report = (results.folder / "report.html").read_text("utf-8")
    assert "onnxruntime" in report
    best = verdict.advice.best.cell if verdict.advice else None
    assert best is not None
    config = (results.folder / "advice" / "model-config.yaml").read_text("utf-8")
    assert f"  engine: {best.engine}\n  precision: {best.precision}\n" in config
