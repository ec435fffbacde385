"""The ceilings with real processes: the bare model, its work, and what happens when it can't be run."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from experiments.base.cores import usable_cores
from experiments.base.errors import UsageError
from experiments.bench import Bench
from experiments.ceilings.bare import BareModel, BareModelError, bare_model, measure
from experiments.ceilings.effort import Effort
from experiments.ceilings.measure import measure_ceilings
from experiments.load import Body, ClosedLoop, run
from experiments.plan import Plan
from experiments.results.ceilings import read_ceilings
from experiments.results.counted import Counted
from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from experiments.verdict.diagnosis import Bound, diagnose, shares_of
from experiments.watch.counters import TALLY_VARIABLE, between, snapshot
from handlers.archive.archives import build
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.small_archives import NOOP, RAISES_AT_LOAD, archive

pytestmark = pytest.mark.integration

# A handler that writes down what it sees, and splits every batch in two.
SPLITS = """
import os, pathlib, torch

class Handler:
    def initialize(self, context):
        self.threads = torch.get_num_threads()
        self.batch_size = context.system_properties["batch_size"]
        note = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "HANDLER_PRECISION", "EXTRA")}
        pathlib.Path(os.environ["NOTES"]).write_text(f"{self.threads} {self.batch_size} {note}")

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
    return build("text", tiny_bert(folder / "checkpoint"), folder, trial=False)


@pytest.fixture(scope="module")
def two_berts(tiny_bert_mar: Path) -> Iterator[BareModel]:
    """The tiny BERT in two processes of a thread each."""
    with bare_model(tiny_bert_mar, processes=2, threads=1, tokens=16) as model:
        yield model


def test_two_processes_run_the_handlers_forward_pass_together(two_berts: BareModel) -> None:
    found = two_berts.throughput(8, duration_s=0.2)
    assert (found.batch_size, found.processes, found.threads) == (8, 2, 1)
    assert found.batches >= 2
    # The sum of two rates is at least that of two processes with the mean pace.
    assert found.throughput_rps >= 0.999 * 2 * 8 / (found.batch_ms / 1e3)


@pytest.mark.wide
def test_one_load_serves_many_batch_sizes_and_the_peaks(two_berts: BareModel) -> None:
    sizes = [two_berts.throughput(size, 0.05).batch_size for size in (1, 3, 128)]
    assert sizes == [1, 3, 128]
    assert two_berts.flops("fp32", 0.05) > 1e9
    assert two_berts.bytes_per_s(0.05) > 1e8
    work = two_berts.work()
    # The first of two layers in full; of the second, keys and values of all tokens, the rest of the first.
    hidden, intermediate, tokens, labels = 32, 64, 16, 3
    products = 4 * hidden**2 + 2 * hidden * intermediate
    attention = 2 * tokens * hidden
    first_layer = tokens * (products + attention)
    second_layer = (tokens - 1) * 2 * hidden**2 + products + attention
    head = hidden**2 + hidden * labels
    assert work.flop == 2 * (first_layer + second_layer + head)
    assert work.precision == "fp32"


@pytest.mark.wide
def test_images_are_prepared_once_and_then_only_classified(tmp_path: Path) -> None:
    resnet = build("image", tiny_resnet(tmp_path / "checkpoint"), tmp_path, trial=False)
    assert measure(resnet, 4, processes=1, threads=1, duration_s=0.1).throughput_rps > 0


def test_a_worker_s_environment_and_a_batch_that_the_handler_splits(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    mar = archive(tmp_path, "splits", SPLITS)
    pool = [Body(f"text {n}".encode(), "text/plain") for n in range(5)]
    env = {"NOTES": str(notes), "EXTRA": "yes"}
    found = measure(mar, 5, processes=1, threads=1, duration_s=0.05, precision="bf16", pool=pool, env=env)
    assert found.throughput_rps > 0
    assert notes.read_text() == "1 5 {'OMP_NUM_THREADS': '1', 'HANDLER_PRECISION': 'bf16', 'EXTRA': 'yes'}"
    halves = Path(f"{notes}.batches").read_text("utf-8").split()
    assert set(zip(halves[::2], halves[1::2], strict=False)) <= {("3", "2")}


@pytest.mark.wide
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
    before = bare_loops()
    with pytest.raises(ZeroDivisionError), bare_model(tiny_bert_mar, processes=2, threads=1):
        raise ZeroDivisionError
    assert bare_loops() == before


def bare_loops() -> list[psutil.Process]:
    """The processes that run a bare model for us."""
    return [child for child in psutil.Process().children() if "bare_loop" in " ".join(child.cmdline())]


# All ceilings of a plan, and what binds a cell.

# As the handlers are to keep a tally: the forward pass sleeps, the rest takes next to no time.
TALLIES = """
import mmap, os, pathlib, struct, tempfile, time

class Handler:
    def initialize(self, context):
        self.tally = [0, 0, 0, 0, 0]
        if os.environ.get("HANDLER_TALLY"):
            path = pathlib.Path(tempfile.gettempdir()) / f"{os.getpid()}.tally"
            path.write_bytes(bytes(40))
            with path.open("r+b") as file:
                self.page = mmap.mmap(file.fileno(), 40)

    def handle(self, rows, context):
        begin = time.perf_counter_ns()
        texts = [row["body"] for row in rows]
        prepared = time.perf_counter_ns()
        answers = self.forward(texts)
        ended = time.perf_counter_ns()
        added = (1, len(rows), prepared - begin, ended - prepared, time.perf_counter_ns() - begin)
        self.tally = [old + new for old, new in zip(self.tally, added)]
        if os.environ.get("HANDLER_TALLY"):
            struct.pack_into("=5Q", self.page, 0, *self.tally)
        return answers

    def forward(self, texts):
        time.sleep(0.04)
        return texts
"""

# As little as a model can be that the device's work is counted of.
LINEAR = """
import torch

class Handler:
    def initialize(self, context):
        self.layer = torch.nn.Linear(64, 64)

    def handle(self, rows, context):
        return self.forward([row["body"] for row in rows])

    @torch.inference_mode()
    def forward(self, texts):
        return self.layer(torch.zeros(len(texts), 64)).sum(1).tolist()
"""

TEXTS = [Body(f"text {n}".encode(), "text/plain") for n in range(8)]
BRIEFLY = Effort(
    windows=1,
    bare_s=0.1,
    handled_s=0.1,
    peak_s=0.05,
    empty_s=0.3,
    warm_up_s=0.2,
    longest_batch_s=0.5,
    batch_sizes=(1, 4),
)


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ceilings: list[str] = []
        self.warnings: list[str] = []

    def ceiling(self, what: str) -> None:
        self.ceilings.append(what)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs beside the tests."""
    monkeypatch.setattr("experiments.ceilings.measure.others_too_busy", lambda telemetry, cores: None)


@pytest.mark.wide
@pytest.mark.usefixtures("quiet_machine")
def test_the_ceilings_of_a_plan(tmp_path: Path) -> None:
    mar = archive(tmp_path, "linear", LINEAR)
    plan = Plan(model=str(mar), workers=(2,), batch_size=(8,))
    told = Told()
    found = measure_ceilings(plan, Bench(mar, TEXTS), tmp_path, told, BRIEFLY)
    assert found.problems == ()
    assert [(row.workers, row.batch_size) for row in found.rows] == [(2, 1), (2, 4), (2, 8)]
    cell = found.of(plan.cells()[0])
    assert cell is not None
    assert cell.threads == max(1, usable_cores() // 2)
    assert all(row.bare_rps and row.bare_batch_ms and found.roofline_rps(row) for row in found.rows)
    assert cell.empty_rps
    assert cell.empty_in_flight == 2 * 2 * 8
    assert cell.handled_batch_ms
    assert [row.empty_rps for row in found.rows if row is not cell] == [None, None]
    assert found.datasheet is None
    assert read_ceilings(tmp_path) == found
    assert told.warnings == []
    assert told.ceilings[0] == "counting the model's operations"
    assert "empty handler, 2 workers, batch 8" in told.ceilings


@pytest.mark.wide
@pytest.mark.usefixtures("quiet_machine")
def test_a_model_that_can_t_run_alone_still_has_the_ceiling_of_the_frontend(tmp_path: Path) -> None:
    broken = archive(tmp_path, "noop-function", NOOP)
    plan = Plan(model=str(broken), workers=(1,), batch_size=(2,))
    told = Told()
    found = measure_ceilings(plan, Bench(broken, TEXTS), tmp_path, told, BRIEFLY)
    (row,) = found.rows
    assert row.empty_rps
    assert row.bare_rps is None
    assert len(found.problems) == 1
    assert "no class with a method `forward`" in found.problems[0]
    assert told.warnings == list(found.problems)


def diagnosed(server: TorchServe, connections: int, batch_size: int) -> tuple[Bound, Counted]:
    """What binds the registered model under so many requests in flight, and what was counted."""
    before = snapshot(server)
    load = run(
        server.predict_url,
        TEXTS,
        ClosedLoop(connections, duration_s=0.5, warm_up_s=0.3),
        headers=server.headers,
    )
    assert load.problems() == []
    counted = between(before, snapshot(server))
    client_latency_ms = float((load.end_s - load.start_s).mean() * 1e3)
    shares = shares_of(
        counted, workers=1, batch_size=batch_size, client_latency_ms=client_latency_ms, cores=usable_cores()
    )
    assert counted is not None
    assert shares is not None
    return diagnose(shares), counted


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    """A TorchServe whose handlers are asked to keep a tally."""
    with torchserve(env={TALLY_VARIABLE: "1"}) as running:
        yield running


@pytest.mark.wide
def test_what_torchserve_and_a_handler_count_tells_what_binds(
    server: TorchServe, tiny_bert_mar: Path, tmp_path: Path
) -> None:
    server.register(Registration(archive(tmp_path, "tallies", TALLIES), 1, 4))
    bound, counted = diagnosed(server, connections=8, batch_size=4)
    # All eight wait for a worker that sleeps in its forward pass.
    assert bound is Bound.COMPUTE
    assert counted.batch_rows is not None
    assert 3 < counted.batch_rows <= 4
    assert counted.forward_ms is not None
    assert counted.forward_ms >= 40
    assert counted.latency_ms > counted.queue_ms
    bound, counted = diagnosed(server, connections=1, batch_size=4)
    assert bound is Bound.NOT_FILLED
    assert counted.batch_rows == 1
    server.unregister()
    does_nothing = TALLIES.replace("time.sleep(0.04)", "pass")
    server.register(Registration(archive(tmp_path, "does-nothing", does_nothing), 1, 4))
    bound, _ = diagnosed(server, connections=32, batch_size=4)
    assert bound is Bound.FRONTEND
    server.unregister()
    server.register(Registration(tiny_bert_mar, 1, 4))
    _, counted = diagnosed(server, connections=8, batch_size=4)
    assert counted.forward_ms
    assert counted.handle_ms
    assert counted.handle_ms > counted.forward_ms
    server.unregister()


@pytest.mark.wide
def test_a_handler_without_a_tally_leaves_the_batches_unknown(server: TorchServe, tmp_path: Path) -> None:
    server.register(Registration(archive(tmp_path, "no-tally", NOOP), 1, 4))
    before = snapshot(server)
    load = ClosedLoop(4, requests=50)
    run(server.predict_url, TEXTS, load, headers=server.headers)
    counted = between(before, snapshot(server))
    assert counted is not None
    assert counted.requests >= 50
    assert counted.batch_rows is None
    server.unregister()
