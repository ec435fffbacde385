"""Loads that the benchmarks count: long enough to tell a throughput, on a slow machine too."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.parts.served import Setup, load
from experiments.load import Body
from tests.support.small_server import Request, http, serving


def stalling(after_s: float, for_s: float) -> Any:
    """Answers quickly, but for one stall of `for_s` that begins `after_s` after the first request."""
    began: list[float] = []

    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        began.append(time.monotonic())
        since_s = began[-1] - began[0]
        await asyncio.sleep(after_s + for_s - since_s if after_s < since_s < after_s + for_s else 0.005)
        writer.write(http())

    return answer


@pytest.mark.thorough
def test_a_load_whose_answers_came_in_a_small_part_of_it_is_repeated_for_longer() -> None:
    """As on a machine that stood still for most of half a second: enough answers, all in a moment."""
    setup = Setup(Path("any.mar"), workers=1, batch_size=1)
    with serving(stalling(after_s=0.15, for_s=0.8)) as server:
        torchserve = cast(Any, SimpleNamespace(predict_url=server.url, headers={}, log_since=lambda _: ""))
        found = load(torchserve, setup, [Body(b"text", "text/plain")], duration_s=0.5, warm_up_s=0.02)
    assert found.asked_s > 0.5
    assert not found.problems()
