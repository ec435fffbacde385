"""The documents' experiments on small archives: they run, and what they print is there."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.base.paths import ROOT
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_resnet
from tests.support.other_servers import server_that_was_added, small_classifier

pytestmark = [pytest.mark.integration, pytest.mark.wide]

SHORT = ("--rounds", "1", "--seconds", "0.5", "--settling", "0.5")


def measured(name: str, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.documents", name, *SHORT, "--out", str(out), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def small_image_classifier(folder: Path) -> Path:
    return build("image", tiny_resnet(folder / "resnet"), folder, name="small", trial=False)


def test_an_experiment_of_litserve_under_torchserve_alone(tmp_path: Path) -> None:
    archive = small_image_classifier(tmp_path)
    options = ("--model", str(archive), "--experiment", "4", "--concurrency", "1,4", "--server", "torchserve")
    done = measured("litserve", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {"best_torchserve_rps"}
    frame = pd.read_csv(tmp_path / "out" / "litserve.csv")
    assert list(frame["concurrency"]) == [1, 4]
    assert set(frame["precision"]) == {"bf16"}
    limits = pd.read_csv(tmp_path / "out" / "litserve_ceilings.csv")
    assert (limits["roofline_rps"] > 0).all()
    assert "14,640 printed, 7,295 corrected" in done.stderr


def test_litserve_beside_it_is_sent_the_same_images(tmp_path: Path) -> None:
    server_that_was_added("litserve")
    archive = small_image_classifier(tmp_path)
    options = ("--model", str(archive), "--experiment", "2", "--concurrency", "4")
    done = measured("litserve", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "out" / "litserve.csv")["server"]) == ["torchserve", "litserve"]


def test_the_runtimes_of_the_triton_document_under_triton(tmp_path: Path) -> None:
    server_that_was_added("triton")
    archive = small_classifier(tmp_path)
    options = ("--model", str(archive), "--runtime", "torch", "--runtime", "tensorrt", "--tokens", "20")
    done = measured("triton", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert "without tensorrt" in done.stderr
    frame = pd.read_csv(tmp_path / "out" / "triton.csv")
    assert list(frame["server"]) == ["torchserve", "triton"]
    assert (frame["logit_worst"] == 0).all()  # torch beside itself


def test_virtexs_load_counts_right_answers_to_several_texts(tmp_path: Path) -> None:
    archive = small_classifier(tmp_path)
    options = ("--model", str(archive), "--rates", "60", "--client-batch", "1,3", "--server", "torchserve")
    done = measured("virtex", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(tmp_path / "out" / "virtex.csv")
    assert list(frame["client_batch"]) == [1, 3]
    assert (frame["right"] == frame["due"]).all()


def test_wrong_usage_is_one_line(tmp_path: Path) -> None:
    done = measured("litserve", tmp_path / "out", "--experiment", "7")
    assert (done.returncode, done.stderr) == (2, "error: no experiment 7: choose among 1 to 6\n")
