"""`--predict` end to end: real ceilings of a small archive, the grid predicted, then the sweep beside it."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from experiments.results import read_ceilings
from tests.integration.mps.test_sweep import in_process, resumed, sweep

pytestmark = [pytest.mark.integration, pytest.mark.wide]

# As little as a model can be that the device's work is counted of, and a pass that takes 20 ms.
SLOW = """
import time
import torch

class Handler:
    def initialize(self, context):
        self.layer = torch.nn.Linear(8, 8)

    def handle(self, rows, context):
        return self.forward([row["body"] for row in rows])

    @torch.inference_mode()
    def forward(self, texts):
        time.sleep(0.02)
        return self.layer(torch.zeros(len(texts), 8)).sum(1).tolist()
"""
GRID = ("--duration", "0.5", "--warm-up", "0.2", "--runs", "3", "--workers", "1", "--batch-size", "1,4")


def says_that_it_takes_texts(mar: Path) -> None:
    with zipfile.ZipFile(mar, "a") as file:
        file.writestr("provenance.json", json.dumps({"kind": "text"}))


def test_a_grid_is_predicted_and_then_measured(tmp_path: Path, own_tmp: Path) -> None:
    out = tmp_path / "out"
    command = sweep(tmp_path, SLOW, *GRID, "--no-noise-floor", "--no-check-answers", "--predict")
    says_that_it_takes_texts(tmp_path / "small.mar")
    done = in_process(command)
    assert done.returncode == 0, done.stderr
    assert "predicted, not measured" in done.stdout
    assert "Predicted best for 'throughput': small, 1 worker, batch size 4" in done.stdout
    assert not (out / "trials.jsonl").exists()

    ceilings = read_ceilings(out)
    assert ceilings is not None
    assert all(row.handled_batch_ms and row.handled_batch_ms > 20 for row in ceilings.rows)
    table = pd.read_csv(out / "prediction.csv")
    assert table["batch_size"].to_list() == [1, 4]
    assert (table["throughput_rps"] < 1e3 * table["batch_size"] / 20).all()

    measured = resumed(out)
    assert measured.returncode == 0, measured.stderr
    assert "From the ceilings alone" in (out / "report.md").read_text()
    assert json.loads((out / "prediction.json").read_text())["cells"]
