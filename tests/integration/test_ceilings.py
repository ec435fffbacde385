"""The ceilings with real processes: the bare model, its work, and what happens when it can't be run."""

from pathlib import Path

import psutil
import pytest

from experiments.bare import BareModelError, bare_model, measure
from experiments.errors import UsageError
from experiments.load import Body
from handlers.archives import build
from tests.checkpoints import tiny_bert, tiny_resnet
from tests.small_archives import NOOP, RAISES_AT_LOAD, archive

pytestmark = pytest.mark.integration

# A handler that writes down what it sees, and splits every batch in two.
SPLITS = """
import os, pathlib, torch

class Handler:
    def initialize(self, context):
        self.threads = torch.get_num_threads()
        note = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "HANDLER_PRECISION", "EXTRA")}
        pathlib.Path(os.environ["NOTES"]).write_text(f"{self.threads} {note}")

    def handle(self, rows, context):
        texts = [row["body"] for row in rows]
        return self.forward(texts[::2]) + self.forward(texts[1::2])

    def forward(self, texts):
        print("printed by the handler")
        with open(os.environ["NOTES"] + ".batches", "a") as file:
            file.write(f"{len(texts)} ")
        return texts
"""


@pytest.fixture(scope="module")
def tiny_bert_mar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    return build("text", tiny_bert(folder / "checkpoint"), folder)


def test_two_processes_run_the_handlers_forward_pass_together(tiny_bert_mar: Path) -> None:
    found = measure(tiny_bert_mar, 8, processes=2, threads=1, duration_s=0.2)
    assert (found.batch_size, found.processes, found.threads) == (8, 2, 1)
    assert found.batches >= 2
    # The sum of two rates is at least that of two processes with the mean pace.
    assert found.throughput_rps >= 0.999 * 2 * 8 / (found.batch_ms / 1e3)


def test_one_load_serves_many_batch_sizes_and_the_peaks(tiny_bert_mar: Path) -> None:
    with bare_model(tiny_bert_mar, processes=1, threads=2, tokens=16) as model:
        sizes = [model.throughput(size, 0.05).batch_size for size in (1, 3, 128)]
        assert sizes == [1, 3, 128]
        assert model.flops("fp32", 0.05) > 1e9
        assert model.bytes_per_s(0.05) > 1e8
        work = model.work()
    layers, hidden, intermediate, tokens, labels = 2, 32, 64, 16, 3
    products = 4 * hidden**2 + 2 * hidden * intermediate
    attention = 2 * tokens * hidden
    head = hidden**2 + hidden * labels
    assert work.flop == 2 * (layers * tokens * (products + attention) + head)
    assert work.precision == "fp32"


def test_images_are_prepared_once_and_then_only_classified(tmp_path: Path) -> None:
    resnet = build("image", tiny_resnet(tmp_path / "checkpoint"), tmp_path)
    assert measure(resnet, 4, processes=1, threads=1, duration_s=0.1).throughput_rps > 0


def test_a_batch_that_the_handler_splits_is_one_step(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    mar = archive(tmp_path, "splits", SPLITS)
    pool = [Body(f"text {n}".encode(), "text/plain") for n in range(5)]
    env = {"NOTES": str(notes), "EXTRA": "yes"}
    found = measure(mar, 5, processes=1, threads=1, duration_s=0.05, precision="bf16", pool=pool, env=env)
    assert found.throughput_rps > 0
    assert notes.read_text() == "1 {'OMP_NUM_THREADS': '1', 'HANDLER_PRECISION': 'bf16', 'EXTRA': 'yes'}"
    halves = Path(f"{notes}.batches").read_text().split()
    assert set(zip(halves[::2], halves[1::2], strict=False)) <= {("3", "2")}


def test_handlers_that_have_no_forward_pass_or_refuse_say_so(tmp_path: Path, tiny_bert_mar: Path) -> None:
    text = [Body(b"a text", "text/plain")]
    short = {"processes": 1, "threads": 1, "duration_s": 0.05}
    with pytest.raises(BareModelError, match="no class with a method `forward`"):
        measure(archive(tmp_path, "noop", NOOP), 1, pool=text, **short)
    with pytest.raises(BareModelError, match="the weights are not there"):
        measure(archive(tmp_path, "broken", RAISES_AT_LOAD), 1, pool=text, **short)
    with pytest.raises(BareModelError, match="refuses an input"):
        measure(tiny_bert_mar, 1, pool=[Body(b"", "text/plain")], **short)
    with pytest.raises(UsageError, match="no archive"):
        measure(tmp_path / "none.mar", 1, pool=text, **short)


def test_the_processes_are_gone_afterwards(tiny_bert_mar: Path) -> None:
    with pytest.raises(ZeroDivisionError), bare_model(tiny_bert_mar, processes=2, threads=1):
        raise ZeroDivisionError
    assert [child for child in psutil.Process().children() if "bare_loop" in " ".join(child.cmdline())] == []
