"""What the documents' experiments are set to, what is made of answers and figures, and their data."""

import itertools
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.documents import litserve, triton, virtex
from benchmarks.documents.archives import with_settings
from benchmarks.documents.ceilings import printed
from benchmarks.documents.litserve import experiments
from benchmarks.documents.virtex import Found

LABELS = ("a", "b", "c")


def predicted(logits: list[float]) -> list[dict[str, object]]:
    """What a server says of a text with these logits: the most probable label first."""
    weights = np.exp(np.array(logits) - max(logits))
    told = [
        {"label": label, "probability": float(p)}
        for label, p in zip(LABELS, weights / weights.sum(), strict=True)
    ]
    return sorted(told, key=lambda each: -float(str(each["probability"])))


def test_each_experiment_changes_one_setting() -> None:
    six = experiments(workers=4, most_in_flight=64, small_batch=8)
    settings = ("precision", "workers", "batch_size", "batch_delay_ms")
    changed = [
        [name for name in settings if getattr(one, name) != getattr(other, name)]
        for one, other in itertools.pairwise(six)
    ]
    assert changed == [["batch_size"], ["workers"], ["precision"], ["batch_delay_ms"], ["batch_size"]]


@given(st.integers(1, 64), st.integers(1, 512), st.integers(1, 512))
def test_no_batch_is_larger_than_what_is_in_flight(workers: int, in_flight: int, small: int) -> None:
    assert all(1 <= each.batch_size <= in_flight for each in experiments(workers, in_flight, small))


def test_the_printed_ceilings_are_twice_what_their_own_peaks_allow() -> None:
    frame = printed().set_index("precision")
    assert frame.loc["fp32", "corrected_rps"] == pytest.approx(909, abs=1)
    assert frame.loc["fp16", "corrected_rps"] == pytest.approx(7295, abs=2)
    assert (frame["printed_rps"] / frame["corrected_rps"]).between(1.99, 2.01).all()


def test_requests_for_a_dollar_follow_from_what_the_triton_document_says() -> None:
    found = triton.published().set_index("where")["requests_per_dollar"]
    assert found["AWS Inferentia"] == pytest.approx(16_364, abs=1)
    assert list(found["T4"].dropna()) == pytest.approx([960, 3840])


@given(st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=4))
def test_logits_come_back_from_probabilities_less_their_mean(rows: list[list[float]]) -> None:
    wanted = np.array(rows) - np.array(rows).mean(axis=1, keepdims=True)
    assert triton.logits([predicted(row) for row in rows]) == pytest.approx(wanted, abs=1e-6)


def test_differences_are_those_of_the_same_label_whatever_the_order() -> None:
    same = triton.differences([predicted([1, 2, 3])], [predicted([1, 2, 3])])
    assert set(same.values()) == {0.0}
    off = triton.differences([predicted([0, 0, 0])], [predicted([0.3, 0, 0])])
    assert off["logit_worst"] == pytest.approx(0.2)
    assert off["probability_mean"] < off["probability_worst"] < off["logit_worst"]


def test_tensorrt_is_left_out_with_a_line() -> None:
    told: list[str] = []
    assert triton.possible(["torch", "tensorrt"], told.append) == ["torch"]
    assert told[0].startswith("without tensorrt: tensorrt needs an NVIDIA GPU")


@pytest.mark.parametrize(
    ("right", "answered", "follows"), [(100, 96, True), (100, 90, False), (99, 99, False)]
)
def test_a_server_follows_a_rate_with_every_answer_right_and_most_in_time(
    right: int, answered: int, follows: bool
) -> None:
    found = Found("torchserve", 5, 50.0, 0, 48.0, 10.0, 20.0, 100, answered, right, 1.0, None)
    assert found.follows == follows


def test_an_archive_has_other_settings_and_the_same_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.mar", "w") as mar:
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": {}}))
        mar.writestr("model-config.yaml", "handler: {precision: fp32, top_k: 5}\n")
    made = with_settings(tmp_path / "one.mar", tmp_path, {"precision": "bf16"})
    assert made.name == "one-bf16.mar"
    with zipfile.ZipFile(made) as mar:
        assert sorted(mar.namelist()) == ["MAR-INF/MANIFEST.json", "model-config.yaml"]
        assert yaml.safe_load(mar.read("model-config.yaml")) == {"handler": {"precision": "bf16", "top_k": 5}}


def test_tables_have_the_published_figures_beside_ours() -> None:
    row = {"experiment": 1, "title": "baseline", "server": "torchserve", "concurrency": 8}
    shown = litserve.table(pd.DataFrame([{**row, "throughput_rps": 12.0}]))
    assert [list(column.cells) for column in shown.columns] == [
        ["1 baseline", ""],
        ["torchserve", "published"],
        ["12.0", "91.9"],
    ]
    found = Found("torchserve", 5, 50.0, 0, 48.0, 10.0, 20.0, 100, 100, 100, 1.0, None)
    frame = virtex.frame_of([found])
    assert next(iter(virtex.table(frame).columns[3].cells)) == "48.0"
