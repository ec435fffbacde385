"""Which engines of a plan can serve an archive here, and the line about each that can't."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.bench import Bench
from experiments.bench.engines import possible
from experiments.plan import Plan
from handlers.archive.parity.differences import Parity
from handlers.archive.parity.measured import note_parity
from mps.card import Gpu
from tests.support.engines import MISSING, needs_engines


def an_archive(folder: Path, *files: str, precision: str = "fp32", ours: bool = True) -> Plan:
    """A plan for an archive that holds these files, empty: what is asked before anything starts."""
    path = folder / "bert.mar"
    with zipfile.ZipFile(path, "w") as mar:
        if ours:
            mar.writestr("provenance.json", json.dumps({"kind": "text"}))
            mar.writestr("model-config.yaml", f"handler:\n  precision: {precision}\n")
        for name in files:
            mar.writestr(name, "")
    return Plan(model=str(path), workers=(1,), batch_size=(4,))


def test_a_plan_without_engines_is_left_as_it_is(tmp_path: Path) -> None:
    plan = an_archive(tmp_path)
    assert possible(plan, None) == (plan, [])
    plan = replace(plan, engine=("torch", "torch-compile"))
    assert possible(plan, None) == (plan, [])


def test_one_that_can_not_serve_among_several_is_a_line_and_the_others_stay(tmp_path: Path) -> None:
    plan, lines = possible(replace(an_archive(tmp_path), engine=("torch", "tensorrt")), None)
    assert plan.engine == ("torch",)
    (line,) = lines
    assert line.startswith("without tensorrt: tensorrt needs an NVIDIA GPU")


def test_the_only_one_that_can_not_serve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tensorrt needs an NVIDIA GPU"):
        possible(replace(an_archive(tmp_path), engine=("tensorrt",)), None)


def test_answers_may_be_as_far_from_torchs_as_was_accepted_when_the_archive_was_built(tmp_path: Path) -> None:
    plan = replace(
        an_archive(tmp_path, precision="int8"), engine=("onnxruntime", "torch"), precision=(None, "fp32")
    )
    noted = Parity("onnxruntime", "int8", "1.32.0", 200, "ours", 1.1, 0.4, 0.25, 0.1, 0.9, 0.1)
    close = replace(noted, precision="fp32", largest_probability=1e-6, tolerance=1e-5)
    note_parity(Path(plan.model), [noted, close])
    bench = Bench(Path(plan.model), [])
    (int8, fp32, of_torch, _, _) = plan.cells()
    assert (bench.engine_of(int8), bench.precision_of(int8)) == ("onnxruntime", "int8")
    assert bench.accepted_of(int8) == 0.5
    assert bench.accepted_of(fp32) == bench.accepted_of(of_torch) == 0


def test_an_archive_of_ones_own_heeds_no_engine(tmp_path: Path) -> None:
    plan = an_archive(tmp_path, ours=False)
    assert possible(plan, None) == (plan, [])
    with pytest.raises(UsageError, match="its handler heeds no --engine"):
        possible(replace(plan, engine=("torch",)), None)


def test_int8_without_an_engine_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch has no int8: choose one of fp32"):
        possible(replace(an_archive(tmp_path), precision=("int8",)), None)


@pytest.mark.skipif(not MISSING, reason="the engines are installed: what is said without them can't be seen")
def test_one_that_is_not_installed_is_refused_with_the_command(tmp_path: Path) -> None:
    plan = replace(an_archive(tmp_path, "model.onnx"), engine=("onnxruntime",))
    with pytest.raises(UsageError, match="not installed in this Python: make setup ENGINES=onnxruntime"):
        possible(plan, None)


@needs_engines
class TestInstalled:
    def test_and_with_their_files_all_stay(self, tmp_path: Path) -> None:
        plan = replace(an_archive(tmp_path, "model.onnx"), engine=("torch", "onnxruntime", "openvino"))
        assert possible(plan, None) == (plan, [])

    def test_without_their_file_they_are_left_out(self, tmp_path: Path) -> None:
        plan = replace(
            an_archive(tmp_path, "model.onnx"),
            engine=("onnxruntime", "openvino"),
            precision=("fp32", "int8"),
        )
        left, (line,) = possible(plan, None)
        assert (left.engine, left.precision) == (("openvino",), ("fp32",))
        assert line.endswith("make mar ENGINE=onnxruntime PRECISION=int8")

    def test_without_the_archives_precision_they_are_left_out(self, tmp_path: Path) -> None:
        plan = replace(
            an_archive(tmp_path, "model.onnx", precision="bf16"), engine=("onnxruntime", "openvino")
        )
        left, lines = possible(plan, None)
        assert left.engine == ("openvino",)
        assert lines == ["without onnxruntime: onnxruntime has no bf16: choose one of fp32, int8"]

    def test_on_a_gpu_they_are_left_out(self, tmp_path: Path) -> None:
        card = Gpu(0, "GPU-5d1f", "NVIDIA H200", "580", None, 132, (9, 0), False, None, None, None, None)
        plan = replace(an_archive(tmp_path, "model.onnx"), engine=("torch", "openvino"))
        left, (line,) = possible(plan, card)
        assert left.engine == ("torch",)
        assert line.endswith(f"openvino runs on CPUs here, and {card.name} is measured: --device cpu")
