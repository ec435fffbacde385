"""A model on ONNX Runtime by the commands: profiled, placed, served and driven, with no weights for torch."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.placement.deployment import live
from experiments.profile import read_points
from handlers.archive.archives import build
from handlers.archive.engines.asked import Engines
from mps import place, profile
from tests.support.checkpoints import tiny_bert
from tests.support.engines import needs_engines

pytestmark = [
    pytest.mark.wide,
    pytest.mark.integration,
    needs_engines,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has no shares"),
]

WEIGHTS = "model.safetensors"


def without_torchs_weights(archive: Path) -> None:
    """What serves it now is no torch."""
    whole = archive.rename(archive.with_suffix(".whole"))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(archive, "w") as target:
        for name in source.namelist():
            if name != WEIGHTS:
                target.writestr(name, source.read(name))


def test_a_model_is_profiled_placed_and_served_on_another_engine_than_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_tmp: Path
) -> None:
    tiny, engines = tiny_bert(tmp_path / "tiny", spread=0.2), Engines(("onnxruntime",))
    words = build("text", tiny, tmp_path, name="words", trial=False, engines=engines)
    without_torchs_weights(words)

    latencies, share = tmp_path / "profile.csv", 100 // len(os.sched_getaffinity(0))
    options = ["--model", f"{words}", "--engine", "onnxruntime", "--out", f"{latencies}"]
    brief = ["--share", f"{share}", "--batch-size", "1,2", "--rounds", "1", "--seconds", "0.05"]
    done = CliRunner().invoke(profile.app, [*options, *brief])
    assert done.exit_code == 0, done.output
    points = read_points(latencies)
    assert [(each.engine, each.batch_size) for each in points] == [("onnxruntime", 1), ("onnxruntime", 2)]

    monkeypatch.setenv("HANDLER_ENGINE", "torch")  # wins over an archive's own, not over what is asked for
    monkeypatch.setattr(live, "BATCHES_S", 0.5)
    monkeypatch.setattr(live, "BATCHES_WARM_UP_S", 0.2)
    monkeypatch.setattr(live, "MOST_LATE", 100.0)  # other tests keep the generator waiting
    demand, out = tmp_path / "demand.yaml", tmp_path / "out"
    demand.write_text(f"models: [{{model: {words}, rate_rps: 20, slo_ms: 500}}]", "utf-8")
    command = [f"{demand}", "--profile", f"{latencies}", "--engine", "onnxruntime", "--out", f"{out}"]
    run = ["--device", "cpu", "--run", "--seconds", "2", "--warm-up", "0.5"]
    done = CliRunner().invoke(place.app, [*command, *run])
    assert done.exit_code == 0, done.output
    (measured,) = json.loads((out / "measured.json").read_text("utf-8"))["measured"]
    assert measured["requests"] > 0
    assert measured["attainment"] > 0
    (seat,) = json.loads((out / "placement.json").read_text("utf-8"))["seats"]
    assert (seat["name"], seat["served"]) == ("words", {"engine": "onnxruntime"})
