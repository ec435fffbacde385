"""What a worker counts: readable by others while it serves, and nothing where nobody asked."""

import os
import tempfile
from pathlib import Path

import pytest

from experiments.watch.counters import TALLY_VARIABLE, Tally, read_multiprocessors, read_tallies
from handlers.bert import BertHandler
from handlers.request.tally import VARIABLE, open_tally, tell_multiprocessors
from tests.support.checkpoints import tiny_bert
from tests.support.worker import a_context, handle


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_sums_are_read_as_experiments_read_them(temporary_folder: Path) -> None:
    tally = open_tally({VARIABLE: "1"})
    tally.add(rows=8, prepare_ns=1, forward_ns=20, handle_ns=300)
    tally.add(rows=4, prepare_ns=1, forward_ns=20, handle_ns=300)
    assert read_tallies(temporary_folder) == Tally(2, 12, 2, 40, 600)
    assert VARIABLE == TALLY_VARIABLE
    assert [file.name for file in temporary_folder.iterdir()] == [f"{os.getpid()}.tally"]


def test_the_multiprocessors_of_each_worker_are_read_as_they_were_told(temporary_folder: Path) -> None:
    tell_multiprocessors(66, {VARIABLE: "1"})
    assert read_multiprocessors(temporary_folder, [os.getpid()]) == [66]
    assert read_multiprocessors(temporary_folder, [os.getpid(), 1]) is None, "another handler does not tell"
    assert read_multiprocessors(temporary_folder, []) is None
    assert read_tallies(temporary_folder) is None


def test_nobody_asked(temporary_folder: Path) -> None:
    open_tally({}).add(8, 1, 20, 300)
    tell_multiprocessors(66, {})
    assert list(temporary_folder.iterdir()) == []


def test_a_handler_counts_its_batches(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    handler, context = BertHandler(), a_context(tiny_bert(temporary_folder / "bert"), "text")
    handler.initialize(context)
    handle(handler, context, [{"body": "good"}, {"body": "so good"}, {}])
    handle(handler, context, [{}])
    counted = read_tallies(temporary_folder)
    assert counted is not None
    assert (counted.batches, counted.rows) == (2, 4)
    assert 0 < counted.prepare_ns + counted.forward_ns < counted.handle_ns
