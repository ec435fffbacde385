"""The page of a placement: what it says, of one model and of many, without and with a measurement."""

import re
from html import unescape
from pathlib import Path

from experiments.placement.problem import Problem
from experiments.placement.steps import place, predict
from experiments.report.placement import Placing, write_page
from tests.experiments.placement.profiles import problem


def placing_of(asked: Problem, gpus: int = 4, strategy: str = "search") -> Placing:
    found = place(asked, gpus, strategy)
    predicted = predict(asked, found.placement)
    return Placing(asked, found.placement, found.at_least, gpus, strategy, predicted)


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    body = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def written(folder: Path, placing: Placing) -> str:
    return write_page(folder, placing).read_text("utf-8")


def test_the_verdict_says_how_many_gpus_serve_what(tmp_path: Path) -> None:
    placing = placing_of(problem(("a", 100, 50), ("b", 50, 100)))
    page = written(tmp_path, placing)
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert headline.startswith("1 of 4 GPUs serves 150 requests/s of 2 models; no placement has fewer.")
