"""A signal stops a coroutine, whenever it comes; the program's own handler hears of it."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from random import Random

import pytest

from experiments.base.paths import ROOT
from experiments.load.interruptible import run_interruptibly


async def forever() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.Event().wait()


async def done_at_once() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    return 5


@pytest.mark.parametrize("main", [forever, done_at_once], ids=lambda main: main.__name__)
def test_a_signal_is_never_lost(main: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(main())  # type: ignore[operator]


@pytest.mark.wide
def test_nor_is_one_that_comes_while_the_loop_closes() -> None:
    """At 300 random moments of one short coroutine after another."""
    random = Random(0)

    async def short() -> None:
        await asyncio.sleep(0.0005)

    def one_after_the_other(signals: threading.Timer) -> None:
        signals.start()  # on a busy machine this takes longer than the timer
        until_s = time.perf_counter() + 5
        while time.perf_counter() < until_s:
            run_interruptibly(short())

    for _ in range(300):
        signals = threading.Timer(0.01 + random.random() * 0.004, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            one_after_the_other(signals)
        signals.join()
    gc.collect()  # loops that were hit as they closed hold descriptors until then, which other tests need


WITH_FEW_DESCRIPTORS = """
import asyncio, os, resource
from experiments.base.paths import ROOT
from experiments.load.interruptible import run_interruptibly
open_now = len(os.listdir("/proc/self/fd"))
for more in range(20):
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + more, 4096))
    try:
        print(run_interruptibly(asyncio.sleep(0, "ran")))
    except OSError as error:
        print(error)
"""


@pytest.mark.thorough
def test_where_too_many_files_are_open_that_is_the_error() -> None:
    """uvloop itself would abort the program, say that a running loop can't be closed, or warn."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_FEW_DESCRIPTORS], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    refused, ran = (done.stdout.count(each) for each in ("Too many open files", "ran"))
    assert refused + ran == 20
    assert refused
    assert ran


def test_without_one_it_returns_what_it_ran() -> None:
    async def three() -> int:
        return 3

    assert run_interruptibly(three()) == 3
