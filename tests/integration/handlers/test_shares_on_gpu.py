"""A worker that MPS holds to a share of a real GPU answers right, or refuses to: never wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments.base.paths import ROOT
from experiments.serving.workers import share_env
from handlers.archive import checkpoints
from handlers.archive.archives import CORPUS
from mps.card import gpu
from mps.control import NoMpsError, find_control, mps_daemon

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

SHARES = (100, 25, 40, 50, 60, 70)
OFF = 0.2  # of the logarithms' spread, in half precision; a product without a tile is off by far more


@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_share_gives_right_answers_or_none(tmp_path: Path, kind: str) -> None:
    try:
        find_control()
    except NoMpsError as error:
        pytest.skip(str(error))
    if kind == "text":
        config = checkpoints.bert_base()
        config.initializer_range = 0.04  # so that texts get different answers
        checkpoints.random_text(tmp_path, config, CORPUS.read_text().splitlines(), 0)
    else:
        checkpoints.random_image(tmp_path, checkpoints.resnet50(), 0)
        weights = load_file(tmp_path / "model.safetensors")
        weights["classifier.1.weight"] *= 0.05  # as drawn, one label has all of the probability
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with mps_daemon(device=gpu().uuid) as daemon:
        daemon.start_server()
        env = daemon.env | {"CUDA_VISIBLE_DEVICES": "0"}
        running = {share: _start(kind, tmp_path, env | share_env(share)) for share in SHARES}
        told = {share: _answer(process) for share, process in running.items()}
    print(json.dumps(told, indent=1))
    assert [share for share, one in told.items() if "refused" not in one and one["worst"] > OFF] == []
    assert "worst" in told[100], "all of the GPU was refused"


def _start(kind: str, folder: Path, env: dict[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.support.answers_at_share", kind, str(folder), "fp16"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True)


def _answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return answer
