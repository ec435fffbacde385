"""What is read out of TorchServe's log, metrics page and answers."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
import requests

from experiments.serving.java import parse_version
from experiments.serving.torchserve import start
from experiments.serving.torchserve.printed import last_error, parse_counters
from experiments.serving.torchserve.running import TorchServe

WORKER = "2026-11-21T07:52:16,663 [INFO ] W-9000-model_1-stdout MODEL_LOG - "
FRONTEND = "2026-11-21T07:52:16,663 [WARN ] W-9000-model_1 BatchAggregator - "


def printed_by_a_worker(lines: Iterable[str]) -> str:
    return "".join(f"{WORKER}{line}\n" for line in lines)


def test_the_cause_is_the_end_of_a_workers_traceback_though_other_lines_come_between() -> None:
    log = "\n".join(
        [
            WORKER + "Traceback (most recent call last):",
            FRONTEND + "Load model failed: model, error: Worker died.",
            WORKER + '  File "service.py", line 3, in handle',
            "java.lang.InterruptedException: null",
            WORKER + "ValueError: the weights are not there",
            WORKER + "Frontend disconnected.",
        ]
    )
    assert last_error(log) == "ValueError: the weights are not there"


def test_a_worker_that_starts_meanwhile_names_no_cause() -> None:
    """TorchServe starts another one for the one that failed, and its lines come between."""
    printed = [
        "Traceback (most recent call last):",
        '  File "bert.py", line 3, in <module>',
        "Connection accepted: /tmp/error/.ts.sock.9000.",
        "ModuleNotFoundError: No module named 'sentencepiece'",
        "Connection accepted: /tmp/error/.ts.sock.9001.",
    ]
    log = printed_by_a_worker(printed)
    assert last_error(log) == "ModuleNotFoundError: No module named 'sentencepiece'"


def test_a_handler_that_cannot_be_imported_is_told_by_what_it_misses() -> None:
    # TorchServe then tries one of its own, and Python prints both tracebacks.
    printed = [
        "Traceback (most recent call last):",
        '  File "bert.py", line 3, in <module>',
        "ModuleNotFoundError: No module named 'sentencepiece'",
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        "Traceback (most recent call last):",
        '  File "ts/model_loader.py", line 119, in load',
        "ModuleNotFoundError: No module named 'ts.torch_handler.bert'",
    ]
    log = printed_by_a_worker(printed)
    assert last_error(log) == "ModuleNotFoundError: No module named 'sentencepiece'"


def test_without_a_traceback_the_cause_is_the_frontends_first_complaint() -> None:
    log = 'WARNING: something\nInvalid configuration: For input string: "many"\nException in thread "x"\n'
    assert last_error(log) == 'Invalid configuration: For input string: "many"'
    assert last_error("all is well\n") == ""


def test_that_there_is_no_gpu_is_not_why_anything_fails() -> None:
    no_gpu = 'java.io.IOException: Cannot run program "nvidia-smi": error=2, No such file or directory\n'
    assert last_error(no_gpu) == ""
    assert last_error(no_gpu + "Exception: the real one\n") == "Exception: the real one"


def test_a_change_that_meets_another_one_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TorchServe 0.12.0 answered while workers that had been scaled down were still going."""
    under_way, accepted = requests.Response(), requests.Response()
    under_way.status_code, accepted.status_code = 500, 202
    under_way._content = b'{"code": 500, "type": "ConcurrentModificationException"}'
    accepted._content = b'{"status": "Processing worker updates..."}'
    answers = [under_way, accepted]
    running = TorchServe.__new__(TorchServe)
    running.ports, running._management_key = SimpleNamespace(management=1), "key"  # type: ignore[assignment]
    monkeypatch.setattr(requests.Session, "request", lambda *asked, **how: answers.pop(0))
    running.scale(4, wait=False)
    assert answers == []


def test_counters_are_summed_over_their_labels() -> None:
    page = """# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name="a",model_version="1"} 3.0
ts_inference_requests_total{model_name="b",model_version="1"} 4.0
ts_queue_latency_microseconds{model_name="a"} 12.5
Requests2XX{Level="Host"} 7.0
"""
    assert parse_counters(page) == {"ts_inference_requests_total": 7.0, "ts_queue_latency_microseconds": 12.5}


def test_java_versions_old_and_new() -> None:
    assert parse_version('openjdk version "17.0.15" 2025-04-15') == 17
    assert parse_version('java version "1.8.0_392"') == 8
    assert parse_version('openjdk version "25" 2025-09-16 LTS') == 25
    assert parse_version("command not found") is None


def test_java_is_told_a_cpu_quota_since_it_does_not_see_one_further_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "core_quota", lambda: None)
    assert start.quota_options() == ()
    monkeypatch.setattr(start, "core_quota", lambda: 0.5)
    monkeypatch.setattr(start, "usable_cores", lambda: 1)
    assert start.quota_options() == ("-XX:ActiveProcessorCount=1",)
