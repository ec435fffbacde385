"""Real servers, where they were added: they say what the model says, and leave nothing, however they end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.parts.leftovers import is_free, left_in
from experiments.base.errors import ServerError, UsageError
from experiments.base.paths import ROOT
from experiments.bench.inputs import photographs
from experiments.load import ClosedLoop, run
from experiments.servers import parity
from experiments.servers.dialects import worst_difference
from experiments.servers.known import SERVERS
from experiments.servers.served import Server
from experiments.serving.registration import Registration
from handlers.archive.archives import build
from tests.support import small_archives
from tests.support.checkpoints import tiny_encoder, tiny_resnet
from tests.support.other_servers import server_that_was_added, small_classifier

pytestmark = [pytest.mark.integration, pytest.mark.wide]

TEXTS = ("The kettle is quiet and pours well.", "No.", "It leaks, and 'quotes' \\ don't matter: ü, 茶")
NONE = "no-instance-came-up"
SETTLED_S = 20.0  # for a guard to end what its parent has started
LOADED = """
import sys
from pathlib import Path
from experiments.load import ClosedLoop, run
from experiments.servers.known import SERVERS
from experiments.serving.registration import Registration
from mps.door import one_line_errors
with one_line_errors(lambda: "stopped"):
    with SERVERS[sys.argv[1]].start([Registration(Path(sys.argv[2]), workers=2, batch_size=8)]) as server:
        print(server.port, server.folder.name, flush=True)
        body = server.dialect.body("Is anybody there?")
        run(server.predict_url(), [body], ClosedLoop(4, duration_s=60), headers=server.headers)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_classifier(tmp_path_factory.mktemp("archives"))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    return server_that_was_added(request.param)


def test_it_says_what_the_model_says_alone_and_in_batches(
    server: Server, archive: Path, own_tmp: Path
) -> None:
    right = parity.direct(archive, TEXTS)
    with server.start([Registration(archive, workers=2, batch_size=8)]) as running:
        assert parity.check(running, TEXTS, right) <= parity.TOLERANCE
        bodies = [running.dialect.body(text) for text in TEXTS]
        load = ClosedLoop(16, requests=200)
        found = run(running.predict_url(), bodies, load, headers=running.headers, keep_answers=True)
        assert found.problems() == []
        assert found.answers is not None
        said = {n: [running.dialect.read(each) for each in given] for n, given in found.answers.of.items()}
        assert parity.judged(running, right, said) <= parity.TOLERANCE

        workers = running.workers()
        assert len(workers) == 2
        assert set(workers) <= {process.pid for process in running.family()}
        assert {psutil.Process(pid).environ()["OMP_NUM_THREADS"] for pid in workers} == {"1"}
        assert listened_at(running.family()) <= {"127.0.0.1", "::ffff:127.0.0.1"}
        assert running.folder.stat().st_mode & 0o777 == 0o700
    assert left_in(own_tmp, running.folder.name) == []


def test_it_takes_images_and_several_texts_in_a_request(
    server: Server, archive: Path, tmp_path: Path
) -> None:
    of_images = build("image", tiny_resnet(tmp_path / "resnet"), tmp_path, name="images", trial=False)
    images = photographs()
    with server.start(
        [Registration(archive, 1, 8, name="texts"), Registration(of_images, 1, 4, name="images")]
    ) as running:
        right = parity.direct(of_images, images)
        assert parity.check(running, images, right, "images") <= parity.TOLERANCE
        body = running.dialect.body(*TEXTS)
        headers = {"Content-Type": body.content_type, **running.headers}
        answer = requests.post(running.predict_url("texts"), body.data, headers=headers, timeout=60)
        said = running.dialect.read_each(answer.content)
        assert worst_difference(parity.direct(archive, TEXTS), said) <= parity.TOLERANCE


def test_it_tells_embeddings_and_answers_requests_of_more_texts_than_a_batch_has(
    server: Server, tmp_path: Path
) -> None:
    encoder = build("embedding", tiny_encoder(tmp_path / "encoder"), tmp_path, name="encoder", trial=False)
    right = parity.direct(encoder, TEXTS)
    with server.start([Registration(encoder, workers=1, batch_size=2, inputs=len(TEXTS))]) as running:
        assert parity.check(running, TEXTS, right) <= parity.TOLERANCE
        bodies = [running.dialect.body(*TEXTS)]
        load = ClosedLoop(8, requests=50)
        found = run(running.predict_url(), bodies, load, headers=running.headers, keep_answers=True)
        assert found.problems() == []
        assert found.answers is not None
        for answer in found.answers.of[0]:
            assert worst_difference(right, running.dialect.read_each(answer)) <= parity.TOLERANCE


def test_two_models_are_served_at_once(server: Server, archive: Path, tmp_path: Path) -> None:
    other = small_classifier(tmp_path, "other", seed=1)
    models = [Registration(archive, 1, 8, name="one"), Registration(other, 1, 8, name="two")]
    with server.start(models) as running:
        for model in models:
            right = parity.direct(model.archive, TEXTS)
            assert parity.check(running, TEXTS, right, model.name) <= parity.TOLERANCE


def test_three_starts_and_stops_leave_nothing(server: Server, archive: Path, own_tmp: Path) -> None:
    port = free_port()
    for _ in range(3):
        with server.start([Registration(archive, workers=1, batch_size=2)], port=port) as running:
            assert running.port == port
            assert running.predict(TEXTS[0])
        assert left_in(own_tmp, running.folder.name) == []
        assert is_free(port)


def test_an_exception_in_its_life_leaves_nothing(server: Server, archive: Path, own_tmp: Path) -> None:
    with pytest.raises(ZeroDivisionError), server.start([Registration(archive, 1, 2)]) as running:
        _ = 1 / 0
    assert left_in(own_tmp, running.folder.name) == []


@pytest.mark.parametrize("which", ["the first process", "all workers"])
def test_a_kill_of_its_processes_leaves_nothing(
    server: Server, archive: Path, own_tmp: Path, which: str
) -> None:
    with server.start([Registration(archive, workers=2, batch_size=2)]) as running:
        for pid in [running.pid] if which == "the first process" else running.workers():
            os.kill(pid, signal.SIGKILL)
    assert left_in(own_tmp, running.folder.name) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_ends_under_load_leaves_nothing(
    server: Server, archive: Path, own_tmp: Path, end: signal.Signals
) -> None:
    command = [sys.executable, "-c", LOADED, server.name, str(archive)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port, instance = program.stdout.readline().split()
        time.sleep(0.5)  # the load has begun
        program.send_signal(end)
        program.wait()
    assert_soon(lambda: left_in(own_tmp, instance) == [])
    assert is_free(int(port))


def test_a_port_that_is_taken_is_told(server: Server, archive: Path, own_tmp: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(UsageError, match=f"port {port}: .*stop what listens there or give another"),
            server.start([Registration(archive, 1, 1)], port=port),
        ):
            pass
    assert left_in(own_tmp, NONE) == []


def test_what_is_no_archive_is_told(server: Server, tmp_path: Path) -> None:
    missing = Registration(tmp_path / "missing.mar", 1, 1)
    with pytest.raises(UsageError, match="no archive"), server.start([missing]):
        pass


def test_a_model_that_does_not_load_is_told_with_its_reason(
    server: Server, tmp_path: Path, own_tmp: Path
) -> None:
    broken = small_archives.archive(
        tmp_path,
        "broken",
        "class Broken:\n    def initialize(self, context):\n"
        "        raise ValueError('the weights are not there')\n"
        "    def handle(self, rows, context):\n        return rows\n",
        "batchSize: 1\n",
    )
    with (
        pytest.raises(ServerError, match="the weights are not there"),
        server.start([Registration(broken, 1, 2)]),
    ):
        pass
    assert left_in(own_tmp, NONE) == []


def listened_at(family: list[psutil.Process]) -> set[str]:
    connections = [each for process in family for each in process.net_connections("tcp")]
    return {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def assert_soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLED_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert holds()


def test_its_workers_have_what_they_are_given_from_their_environment(
    server: Server, archive: Path, own_tmp: Path
) -> None:
    models = [Registration(archive, workers=1, batch_size=2)]
    with (
        pytest.raises(ServerError, match=r"model\.onnx"),
        server.start(models, env={"HANDLER_ENGINE": "onnxruntime"}),
    ):
        pass
