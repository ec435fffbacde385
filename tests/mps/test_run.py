"""`python -m mps.run`: what it refuses before anything starts, and how it says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.base.paths import ROOT
from experiments.plan import Plan
from mps.run import app
from tests.support.report_folders import WITHOUT_GPU, a_folder
from tests.support.small_archives import NOOP, archive


def refused(*options: str) -> str:
    """The one line that the command ends with, having ended with exit code 2."""
    result = CliRunner().invoke(app, list(options))
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "gpt"], "unknown model 'gpt': use bert, resnet50, embeddings or the path of a .mar"),
        (["--model", "missing.mar"], "no archive missing.mar: check the path"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, not 0"),
        (["--workers", "1,two"], "--workers takes whole numbers with commas between, not '1,two'"),
        (["--requests", "5", "--duration", "5"], "either --requests or --duration"),
        (["--plan", "nowhere.yaml"], "--plan nowhere.yaml: No such file"),
        (["--resume", "nowhere"], "nowhere is not a results folder"),
        (["--resume", "nowhere", "--runs", "3"], "give no other option with it"),
        (["--thread-percentage", "50"], "give --with-mps too"),
        (["--with-mps", "--thread-percentage", "0"], "must be from 1 to 100, not 0"),
        (["--memory-limit", "2048"], "give --with-mps too"),
        (["--with-mps", "--memory-limit", "2G"], "--memory-limit takes whole numbers with commas between"),
        (["--with-mps", "--sm-chunks", "0"], "--sm-chunks must be 1 or more, not 0"),
        (["--precision", "fp8"], "--precision must be one of fp32, tf32, fp16, bf16"),
        (["--tokens", "16", "--input", "."], "give one of them"),
        (["--device", "tpu"], "--device is cpu or gpu, not 'tpu'"),
        (["--device", "cpu", "--gpu", "0"], "--device cpu and --gpu 0: give one of them"),
        (["--card-cores", "1"], "--card-cores is for the cards of a cluster: give --ray too"),
        (["--load-from", "load"], "--load-from names nodes of a cluster: give --ray too"),
        (
            ["--ray", "auto", "--load-from", "load", "--server", "litserve"],
            "--load-from takes a server that asks for a token, litserve doesn't: give --server torchserve",
        ),
        (["--predict", "--no-ceilings"], "--predict measures the ceilings that it needs: drop --ceilings"),
        (["--predict", "--ray", "auto"], "--predict is for this machine: drop --ray"),
        (["--predict", "--goal", "rss<8GiB"], "--predict tells nothing of rss"),
        (["--device", "cpu", "--with-mps"], "--with-mps needs a GPU: leave out --device cpu"),
    ],
)
def test_wrong_usage_ends_with_one_line_that_names_the_remedy(options: list[str], said: str) -> None:
    assert said in refused(*options)


def test_a_plan_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("batchsize: 4\n")
    assert "unknown plan key 'batchsize'" in refused("--plan", str(tmp_path / "plan.yaml"))


def test_a_plan_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("- 1\n- 2\n")
    assert "must hold 'key: value' lines" in refused("--plan", str(tmp_path / "plan.yaml"))
    (tmp_path / "plan.yaml").write_text("a: [\n")
    assert "is no YAML" in refused("--plan", str(tmp_path / "plan.yaml"))


def test_an_archive_of_unknown_kind_needs_an_input(tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", NOOP)
    assert "give --input" in refused("--model", str(noop), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_a_folder_with_results_is_refused_in_its_own_words(tmp_path: Path) -> None:
    noop, text = archive(tmp_path, "noop", NOOP), tmp_path / "input.txt"
    text.write_text("hello")
    folder = a_folder(tmp_path / "out")
    line = refused("--model", str(noop), "--input", str(text), "--out", str(folder))
    assert line == f"error: {folder} holds results already: give another --out, or --resume {folder}"


@pytest.mark.thorough
def test_another_archive_is_refused_in_its_own_words(tmp_path: Path) -> None:
    noop, text = archive(tmp_path, "noop", NOOP), tmp_path / "input.txt"
    text.write_text("hello")
    folder = a_folder(tmp_path / "out", Plan(model=str(noop), input=str(text)), environment=WITHOUT_GPU)
    line = refused("--resume", str(folder))
    assert line == f"error: the archive is not the one {folder} was measured with: start a new run"


def test_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", NOOP)
    assert "No such file" in refused("--model", str(noop), "--input", str(tmp_path / "no-texts"))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mar").write_text("not an archive")
    assert "text.mar" in refused("--model", str(tmp_path / "text.mar"))


@pytest.mark.thorough
def test_the_door_opens_without_what_only_the_work_needs() -> None:
    code = "import sys, mps.run; print({'seaborn', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "set()\n"


def test_help_teaches_by_example() -> None:
    output = CliRunner().invoke(app, ["--help"]).output
    assert "--resume results/" in output
    assert "Exit codes" in output
    assert "[no limit]" in output  # a default in words, which is no markup
