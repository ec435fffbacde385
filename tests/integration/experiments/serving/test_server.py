"""A real TorchServe: its start, its models, its failures, and that nothing of it is left."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import psutil
import pytest
import requests

from experiments.base.errors import ServerError, UsageError
from experiments.load import Body
from experiments.measure.trial import Serving, measure
from experiments.plan import Plan
from experiments.serving.arms import MpsOptions, arm
from experiments.serving.instances import PREFIX, is_alive, remove_leftovers
from experiments.serving.registration import Registration
from experiments.serving.torchserve import start
from experiments.serving.torchserve.running import Ports, TorchServe, has_its_ports
from experiments.serving.torchserve.start import torchserve
from mps.card import Gpu
from tests.support import small_archives
from tests.support.small_archives import archive

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    with torchserve(env={"OMP_NUM_THREADS": "1"}) as running:
        yield running


def test_a_model_is_registered_serves_and_goes(server: TorchServe, tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", small_archives.NOOP)
    workers = server.register(Registration(noop, workers=2, batch_size=4, batch_delay_ms=7))
    assert [worker.status for worker in workers] == ["READY", "READY"]
    assert all(psutil.pid_exists(worker.pid) for worker in workers)
    status = server.model_status()
    assert (status["batchSize"], status["maxBatchDelay"]) == (4, 7)

    answer = requests.post(server.predict_url, data=b"hello", headers=server.headers, timeout=10)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert server.counters()["ts_inference_requests_total"] >= 1

    server.unregister()
    assert not any(is_alive(worker.pid) for worker in workers)


@pytest.mark.wide
def test_a_model_is_scaled_while_it_is_registered(server: TorchServe, tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", small_archives.NOOP)
    first = server.register(Registration(noop, workers=1, batch_size=4))
    server.scale(2)
    assert [worker.status for worker in server.workers()] == ["READY", "READY"]
    server.scale(1)
    assert [worker.pid for worker in server.workers()] == [first[0].pid]  # the youngest goes
    server.unregister()


def test_workers_inherit_the_environment_of_the_server(server: TorchServe, tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", small_archives.NOOP)
    (worker,) = server.register(Registration(noop, workers=1, batch_size=1))
    assert psutil.Process(worker.pid).environ()["OMP_NUM_THREADS"] == "1"
    server.unregister()


def test_a_request_without_a_token_is_refused(server: TorchServe) -> None:
    assert requests.post(server.predict_url, data=b"hello", timeout=10).status_code == 400


def test_the_instance_listens_on_loopback_only(server: TorchServe) -> None:
    listening = [c for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"]
    assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert server.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.wide
def test_a_handler_that_fails_at_load_is_named_with_its_traceback(server: TorchServe, tmp_path: Path) -> None:
    broken = archive(tmp_path, "broken", small_archives.RAISES_AT_LOAD)
    with pytest.raises(ServerError, match=r"broken\.mar.*ValueError: the weights are not there") as caught:
        server.register(Registration(broken, workers=1, batch_size=1))
    assert "Traceback" in caught.value.details
    server.register(Registration(archive(tmp_path, "noop", small_archives.NOOP), workers=1, batch_size=1))
    server.unregister()


@pytest.mark.wide
def test_a_worker_whose_gpu_failed_is_replaced_and_the_trial_says_why(
    server: TorchServe, tmp_path: Path
) -> None:
    faulty = archive(tmp_path, "faulty", small_archives.CUDA_FAULT)
    workers = server.register(Registration(faulty, workers=1, batch_size=1))
    plan = Plan(workers=(1,), batch_size=(1,), duration_s=0.5, warm_up_s=0.0, runs=1, noise_floor=False)
    with arm(False, None, MpsOptions(), pytest.fail) as without:
        serving = Serving(server, workers, without, torch_threads=1)
        result, _ = measure(plan.trials()[0], serving, [Body(b"hello", "text/plain")])
    assert not result.valid
    (died,) = [problem for problem in result.problems if "died during the trial" in problem]
    assert died.endswith("this worker ends itself (CUDA error: an illegal memory access was encountered)")
    assert not {"507", "200"}.issubset(result.statuses)
    (replaced,) = server.wait_for_workers(1)
    assert replaced.pid != workers[0].pid
    server.unregister()


def test_a_trial_whose_share_is_not_in_force_is_invalid_and_keeps_what_the_workers_see(
    server: TorchServe, tmp_path: Path
) -> None:
    archived = archive(tmp_path, "whole", small_archives.SEES_132)
    workers = server.register(Registration(archived, workers=1, batch_size=1))
    plan = Plan(workers=(1,), batch_size=(1,), duration_s=0.3, warm_up_s=0.0, runs=1, noise_floor=False)
    _, at_half = replace(plan, with_mps=True, thread_percentage=(50,)).trials()
    h200 = Gpu(0, "GPU-5d1f", "NVIDIA H200", "580.159.04", None, 132, (9, 0), False, None, None, None, None)
    with arm(False, None, MpsOptions(), pytest.fail) as without:
        serving = Serving(server, workers, without, torch_threads=1, card=h200)
        result, _ = measure(at_half, serving, [Body(b"hello", "text/plain")])
    assert result.multiprocessors == [132]
    assert result.problems == ["the share of 50 % is not in force: a worker sees all 132 multiprocessors"]
    server.unregister()


def test_an_archive_that_fixes_its_workers_is_refused(server: TorchServe, tmp_path: Path) -> None:
    fixed = archive(tmp_path, "fixed", small_archives.NOOP, config="minWorkers: 3\n")
    with pytest.raises(UsageError, match="sets minWorkers"):
        server.register(Registration(fixed, workers=1, batch_size=1))


def test_a_file_that_is_no_archive_is_refused(server: TorchServe, tmp_path: Path) -> None:
    (tmp_path / "text.mar").write_text("not a zip file")
    with pytest.raises(UsageError, match=r"text\.mar is not a model archive"):
        server.register(Registration(tmp_path / "text.mar", workers=1, batch_size=1))
    with pytest.raises(UsageError, match="make mar"):
        server.register(Registration(tmp_path / "missing.mar", workers=1, batch_size=1))


@pytest.mark.wide
def test_two_instances_run_side_by_side(server: TorchServe, tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", small_archives.NOOP)
    with torchserve() as other:
        other.register(Registration(noop, workers=1, batch_size=1))
        answer = requests.post(other.predict_url, data=b"x", headers=other.headers, timeout=10)
        assert answer.text == "ok"
    assert server.process.poll() is None


def test_nothing_is_left_after_an_exception(tmp_path: Path) -> None:
    noop = archive(tmp_path, "noop", small_archives.NOOP)
    seen: list[TorchServe] = []
    pids: list[int] = []

    def fail_while_serving() -> None:
        with torchserve() as running:
            seen.append(running)
            pids.extend(w.pid for w in running.register(Registration(noop, workers=2, batch_size=1)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_serving()
    assert not any(is_alive(pid) for pid in [seen[0].process.pid, *pids])
    assert not seen[0].folder.exists()


def test_a_server_that_dies_is_noticed_with_its_exit_code(tmp_path: Path) -> None:
    with torchserve() as running:
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        with pytest.raises(ServerError, match="ended with code -9"):
            running.workers()


def test_a_server_that_never_comes_up_shows_what_it_printed() -> None:
    with (
        pytest.raises(ServerError, match=r"ended with code 1 at its start: Invalid configuration: .*many"),
        torchserve(settings={"number_of_gpu": "many"}),
    ):
        pass


@pytest.mark.parametrize("name", [pytest.param("inference", marks=pytest.mark.wide), "grpc_management"])
def test_a_port_that_was_taken_in_between_is_replaced(
    server: TorchServe, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The first that TorchServe takes, and the last: when it can't have that, its APIs have answered."""
    free_ports = start._free_ports
    first, second = free_ports(), free_ports()
    offered = iter([replace(first, **{name: getattr(server.ports, name)}), second])
    monkeypatch.setattr(start, "_free_ports", lambda port, host: next(offered))
    with torchserve() as other:
        assert other.ports == second
        assert other.alive


@pytest.mark.parametrize("name", [field.name for field in fields(Ports) if field.name != "host"])
def test_it_is_up_when_it_has_all_its_ports(server: TorchServe, name: str) -> None:
    assert has_its_ports(server.process.pid, server.ports)
    another = start._free_ports().inference
    assert not has_its_ports(server.process.pid, replace(server.ports, **{name: another}))


@pytest.mark.wide
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_ended_from_outside_counts_as_gone(
    number: signal.Signals,
) -> None:
    with torchserve() as server:
        server.process.send_signal(number)
        while server.alive:
            time.sleep(0.01)
        with pytest.raises(ServerError, match="it ended with code"):
            server.counters()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.ports.inference))


def test_the_next_start_clears_up_after_a_killed_run() -> None:
    code = (
        "from experiments.serving.torchserve.start import torchserve\n"
        "with torchserve() as server:\n"
        "    print(server.process.pid, server.folder, flush=True)\n"
        "    input()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pid, folder = run.stdout.readline().split()
    run.kill()
    run.wait()
    assert psutil.pid_exists(int(pid))

    assert Path(folder) in remove_leftovers()
    _wait_until_dead(int(pid))
    assert not Path(folder).exists()


def test_folders_of_running_instances_are_not_touched(server: TorchServe) -> None:
    assert server.folder not in remove_leftovers()
    assert server.folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*")


def _wait_until_dead(pid: int) -> None:
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return
