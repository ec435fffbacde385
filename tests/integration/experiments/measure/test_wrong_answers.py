"""A handler that answers wrongly, at full speed and with status 200: its runs are no results, it can't win.

One server; which cell is wrong is told by the batch size, as a share of a GPU would.
"""

import zipfile
from pathlib import Path

import pytest

from experiments.bench import bench_for
from experiments.measure import measure
from experiments.plan import Plan
from experiments.report import show
from experiments.verdict import judge
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert

pytestmark = [pytest.mark.integration, pytest.mark.wide]

RIGHT = "            return answer(self, rows, context, settings.limits, tally, turns=self.runtime.turns)\n"
SPOILED = """
            bodies = answer(self, rows, context, settings.limits, tally, turns=self.runtime.turns)
            size = context.system_properties["batch_size"]
            self.served = getattr(self, "served", 0)
            for index in range(len(bodies)):
                self.served += 1
                if size == 8 or (size == 4 and self.served % 100 == 0):
                    swapped = bodies[index].replace(b"good", b"x").replace(b"bad", b"good")
                    swapped = swapped.replace(b"x", b"bad")
                    bodies[index] = swapped
            return bodies
"""


def spoiled(archive: Path) -> Path:
    """The archive, wrong in each answer of batches of up to 8, and in one of a hundred of up to 4."""
    target = archive.with_name("spoiled.mar")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as mar:
        for name in source.namelist():
            data = source.read(name)
            if name == "bert.py":
                assert RIGHT.encode() in data
                data = data.replace(RIGHT.encode(), SPOILED.encode())
            mar.writestr(name, data)
    return target


def test_wrong_answers_are_no_result_even_one_in_a_hundred(tmp_path: Path) -> None:
    archive = spoiled(build("text", tiny_bert(tmp_path / "tiny"), tmp_path, name="tiny", trial=False))
    plan = Plan(
        model=str(archive),
        workers=(1,),
        batch_size=(1, 4, 8),
        duration_s=None,
        requests=150,
        warm_up_s=0.2,
        runs=1,
        noise_floor=False,
    )
    results = measure(plan, bench_for(plan), tmp_path / "results", ceilings=None)
    by_size = {size: [r for r in results.trials if r.trial.cell.batch_size == size] for size in (1, 4, 8)}
    assert all(result.valid and result.answers_wrong == 0 for result in by_size[1])
    for size in (4, 8):
        assert not any(result.valid or result.may_have_passed for result in by_size[size])
    for result in by_size[8]:
        assert result.answers_wrong == result.answers_checked
    for result in by_size[4]:
        assert result.answers_checked
        assert 0 < (result.answers_wrong or 0) < 0.03 * result.answers_checked

    verdict = judge(results)
    assert verdict.advice is not None
    assert verdict.advice.best.cell.batch_size == 1
    page = show(verdict).read_text("utf-8")
    wrong = sum(not result.valid for result in results.trials)  # more than 2 where the machine was busy
    assert f"Wrong answers in {wrong} of {len(results.trials)} runs, which don" in page
    assert "is right" in page
    summary = verdict.summary.set_index("batch_size")
    assert summary["top1_agreement"][1] == 1.0
    assert summary["top1_agreement"][8] < 1.0
    assert list(summary["runs"])[1:] == [0, 0]
