"""What other programs do beside a load: told from the kernel's counts, with real processes."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from experiments.load.goodput.others import Others, too_busy
from tests.support.small_server import always, serving


@pytest.mark.parametrize(("cores", "told"), [(None, None), (0.0, None), (0.2, None)])
def test_little_and_unknown_is_not_told(cores: float | None, told: str | None) -> None:
    assert too_busy(cores, 2) is told


def test_much_is_told_in_words() -> None:
    assert too_busy(0.21, 2) == "other programs used 0.21 of 2 cores"
    assert too_busy(0.21, 4) is None


def spin(seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        pass


@pytest.mark.thorough
def test_another_program_counts_and_we_do_not() -> None:
    others = Others.than_of("http://192.0.2.1:80/")  # of another machine: nothing here is its server
    with others.counted():
        spin(0.6)
    by_us = others.cores
    command = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(command) as other:
        with others.counted():
            time.sleep(1.0)
        other.kill()
    assert by_us is not None
    assert others.cores is not None
    assert others.cores > 0.3


def test_what_is_too_short_is_not_known() -> None:
    others = Others.than_of("http://192.0.2.1:80/")
    with others.counted():
        pass
    assert others.cores is None


@pytest.mark.thorough
def test_the_urls_server_is_no_other_program() -> None:
    with serving(always(b"ok")) as server:
        others = Others.than_of(server.url)
        with others.counted():
            spin(0.6)
        assert others.cores is not None


@pytest.mark.thorough
def test_a_server_that_cannot_be_seen_leaves_it_unknown() -> None:
    others = Others.than_of("http://127.0.0.1:9/")  # nobody listens there
    with others.counted():
        spin(0.6)
    assert others.cores is None
