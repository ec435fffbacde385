"""Archives built for other engines than torch: what is in them, what they tell of themselves, refusals."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.archive.archives import HERE, build, is_current, read_provenance
from handlers.archive.engines.asked import ONLY_TORCH, Engines, engines_of, note_parity_of
from handlers.archive.parity import differences
from handlers.archive.parity.measured import note_parity, read_parity
from handlers.archive.sources import CheckpointError
from handlers.engine.names import EngineError
from tests.support.checkpoints import tiny_bert
from tests.support.engines import needs_engines

BOTH = Engines(("onnxruntime", "openvino"), int8=True)
VARIANTS = {("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "bf16")}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"), spread=0.2)


@pytest.fixture(scope="module")
def archive(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("text", checkpoint, tmp_path_factory.mktemp("store"), engines=BOTH)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)


@needs_engines
@pytest.mark.wide
class TestAnArchive:
    def test_holds_what_both_engines_read_in_one_file_each(self, archive: Path) -> None:
        with zipfile.ZipFile(archive) as mar:
            names = set(mar.namelist())
        assert {"model.safetensors", "model.onnx", "model.int8.onnx", "parity.json"} <= names
        assert {"handlers/engine/onnx_runtime.py", "handlers/engine/open_vino.py"} <= names
        assert not [name for name in names if name.endswith(".data")]

    def test_says_how_far_each_engine_is_from_torch(self, archive: Path) -> None:
        noted = {(one.engine, one.precision): one for one in read_parity(archive)}
        assert {*noted} | {("openvino", "bf16")} == VARIANTS
        for one in noted.values():
            assert one.within
            assert one.inputs == 200
            assert one.equal_labels is not None
        assert noted["onnxruntime", "fp32"].largest < 1e-5 < noted["onnxruntime", "int8"].largest

    def test_keeps_its_engines_and_is_built_anew_for_others(self, archive: Path, checkpoint: Path) -> None:
        provenance = read_provenance(archive)
        assert (provenance.engines, provenance.int8) == (BOTH.names, True)
        assert is_current("text", checkpoint, archive, BOTH)
        assert not is_current("text", checkpoint, archive, ONLY_TORCH)
        assert not is_current("text", checkpoint, archive, Engines(("openvino",)))
        told = run("handlers.archive", "--bert", checkpoint, "--out", archive.parent)
        assert f"{archive} is up to date" in told.stdout

    def test_with_an_engine_beyond_its_tolerance_is_refused_unless_that_is_accepted(
        self, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(differences.TOLERANCE, "fp32", 0.0)
        copy = tmp_path / "bert.mar"
        copy.write_bytes(archive.read_bytes())
        corpus, strict = ["so many words"], Engines(("onnxruntime",))
        with pytest.raises(EngineError, match=r"onnxruntime in fp32.*beyond the 0 of fp32; --accept-parity"):
            note_parity_of(copy, "text", strict, corpus, tmp_path)
        assert all(one.within for one in read_parity(copy))
        note_parity_of(copy, "text", replace(strict, accept_parity=True), corpus, tmp_path)
        assert next(one.within for one in read_parity(copy)) is False

    def test_of_a_model_beyond_two_gigabytes_is_refused(
        self, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("handlers.archive.engines.exported.LARGEST_BYTES", 1000)
        with pytest.raises(CheckpointError, match="more than an ONNX file holds"):
            build("text", checkpoint, tmp_path, engines=BOTH)


@needs_engines
@pytest.mark.wide
class TestParity:
    def test_is_told_over_texts_of_ones_own_and_noted(self, archive: Path, tmp_path: Path) -> None:
        copy = tmp_path / "bert.mar"
        copy.write_bytes(archive.read_bytes())
        (tmp_path / "mine.txt").write_text("It rains.\n\nThe kettle is quiet.\n", "utf-8")
        mine = ["--texts", tmp_path / "mine.txt"]
        done = run("handlers.archive.parity", copy, "--engine", "openvino,torch", *mine)
        assert done.returncode == 0, done.stderr
        exact, openvino, *_ = done.stdout.splitlines()
        assert exact.startswith("torch in fp64, over 2 inputs, differs from torch in fp32 by ")
        assert openvino.startswith("openvino in fp32, over 2 inputs, differs from torch in fp32 by ")
        noted = {(one.engine, one.precision): one.source for one in read_parity(copy)}
        assert noted["openvino", "fp32"] == "mine.txt"
        assert noted["onnxruntime", "fp32"] == "ours"
        assert ("torch", "fp64") not in noted
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bert.mar", "mine.txt"]

    def test_noted_again_leaves_the_rest_of_the_archive(self, archive: Path, tmp_path: Path) -> None:
        copy = tmp_path / "bert.mar"
        copy.write_bytes(archive.read_bytes())
        note_parity(copy, [replace(read_parity(copy)[0], inputs=7)])
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(copy) as new:
            assert sorted(new.namelist()) == sorted(old.namelist())
            assert new.read("model.onnx") == old.read("model.onnx")
            assert json.loads(new.read("parity.json"))[0]["inputs"] == 7


class TestWhatIsAskedFor:
    def test_is_one_engine_or_several_and_those_of_torch_need_nothing(self) -> None:
        assert engines_of("openvino, onnxruntime").names == ("onnxruntime", "openvino")
        assert engines_of("torch,torch-compile") == ONLY_TORCH

    @pytest.mark.parametrize(
        ("text", "int8", "told"),
        [
            ("onnx", False, "there is no engine onnx: choose of torch, torch-compile, onnxruntime, openvino"),
            ("tensorrt", False, "tensorrt needs an NVIDIA GPU"),
            ("openvino", True, "int8 is for onnxruntime: make mar ENGINE=onnxruntime PRECISION=int8"),
        ],
    )
    def test_that_makes_no_sense_is_one_line(self, text: str, int8: bool, told: str) -> None:
        with pytest.raises(EngineError, match=told):
            engines_of(text, int8=int8)

    @pytest.mark.thorough
    def test_at_the_command_is_one_line_and_changes_nothing(self, tmp_path: Path) -> None:
        done = run("handlers.archive", "--engine", "tensorrt", "--out", tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("error: tensorrt needs an NVIDIA GPU")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nowhere.mar"], "error: no such archive: nowhere.mar"),
            (["mine.mar"], "error: mine.mar was not built by make mar"),
        ],
    )
    def test_of_parity_without_an_archive_of_ours_is_one_line(
        self, tmp_path: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with zipfile.ZipFile(tmp_path / "mine.mar", "w") as mar:
            mar.writestr("service.py", "")
        command = [sys.executable, "-m", "handlers.archive.parity", *arguments]
        monkeypatch.setenv("PYTHONPATH", str(HERE.parent))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(told)
