"""The page of a placement: what it says, of one model and of many, without and with a measurement."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from experiments.base.errors import ExperimentError
from experiments.report.placement import Placing, compared, write_page
from tests.experiments.placement.profiles import problem
from tests.support.placings import (
    HOSTILE,
    PUBLISHED,
    a_placing,
    of_hostile_names,
    of_many,
    of_slices,
    published,
)

pytestmark = pytest.mark.wide  # a page compares all strategies

PLACINGS = {
    "one": lambda: a_placing(problem(("a", 100, 50))),
    "two": lambda: a_placing(problem(("a", 100, 200), ("b", 50, 400))),
    "many": of_many,
    "slices": of_slices,
    "hostile": of_hostile_names,
    "measured": published,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page of each of PLACINGS."""
    folder = tmp_path_factory.mktemp("pages")
    return {name: written(folder / name, make()) for name, make in PLACINGS.items()}


def written(folder: Path, placing: Placing) -> str:
    return write_page(folder, placing).read_text("utf-8")


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    body = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def headline(page: str) -> str:
    (found,) = re.findall(r"<h1>(.*?)</h1>", page, flags=re.DOTALL)
    return " ".join(unescape(found).split())


def rows(page: str, table: str) -> list[list[str]]:
    """The rows of a table, field by field."""
    (body,) = re.findall(rf'id="table-{table}">.*?<tbody>(.*?)</tbody>', page, flags=re.DOTALL)
    return [
        [
            " ".join(unescape(field).split())
            for field in re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        ]
        for row in re.findall(r"<tr.*?</tr>", body, flags=re.DOTALL)
    ]


def described(page: str, figure: str) -> str:
    """The text alternatives of a figure's panels."""
    found = re.findall(rf'<desc id="{figure}-\d+-d">(.*?)</desc>', page, flags=re.DOTALL)
    return " ".join(unescape(each) for each in found)


def test_the_verdict_says_how_many_gpus_serve_what_and_how_few_there_could_be(pages: dict[str, str]) -> None:
    assert headline(pages["two"]) == (
        "1 of 4 GPUs serves 150 requests/s of 2 models; no placement has fewer. "
        "Simulated, both models keep their bounds"
    )
    assert "Nothing was measured" in text_of(pages["two"])


def test_a_placement_without_room_for_bursts_is_said_to_miss_its_bounds(tmp_path: Path) -> None:
    placing = a_placing(problem(("a", 940, 40)))
    page = written(tmp_path, placing)
    (expected,) = placing.predicted
    assert expected.attainment < 0.99
    assert re.search(
        r"Simulated, a \(\d.* % within\) misses its bound", headline(page).replace("\u00a0", " ")
    )
    assert "queues grow where requests come in bursts" in text_of(page)


def test_the_sections_come_in_their_order_with_what_they_found_above_them(pages: dict[str, str]) -> None:
    order = ["gpus", "models", "latency", "shares", "load", "strategies", "absent"]
    assert re.findall(r'<section id="(\w+)"', pages["two"]) == order
    headings = re.findall(r"<h2>(.*?)</h2>", pages["two"])
    assert headings[0].startswith("1 part on 1 GPU, at work ") or headings[0].startswith("2 parts on 1 GPU")
    assert re.match(r"Knees lie at .*; in use: \d+", headings[3])
    assert headings[4].startswith("At 2 times the rates ")


def test_every_part_is_in_the_figure_and_in_its_table(pages: dict[str, str]) -> None:
    placing = PLACINGS["many"]()
    residents = [resident for _, part in placing.placement.parts() for resident in part.residents]
    told = described(pages["many"], "gpus")
    assert len(rows(pages["many"], "parts")) == len(residents)
    for resident in residents:
        assert f"{placing.problem.workloads[resident.workload].name} in batches of {resident.batch}" in told


def test_the_table_of_models_has_what_was_predicted(pages: dict[str, str]) -> None:
    placing = PLACINGS["two"]()
    for row, workload, expected in zip(
        rows(pages["two"], "models"), placing.problem.workloads, placing.predicted, strict=True
    ):
        assert row[0] == workload.name
        assert float(row[1]) == workload.rate_rps
        assert float(row[4]) == pytest.approx(expected.p95_ms, rel=0.005)
        assert row[6].endswith("%")


def test_measured_stands_beside_predicted(pages: dict[str, str]) -> None:
    page = pages["measured"]
    # There was no GPU: all of the CPU stood for one.
    assert (
        headline(page) == "The CPU serves 12 requests/s of 2 models. Measured, both models kept their bounds"
    )
    bert, resnet50 = rows(page, "models")
    # As README and docs say it: measured, then predicted.
    assert bert[:12] == [
        "bert",
        "6.00",
        "600",
        "5.77",
        "174",
        "150",
        "421",
        "414",
        "555",
        "518",
        *bert[10:12],
    ]
    assert resnet50[4:10] == ["119", "108", "365", "367", "449", "532"]
    assert "bert 421 ms, predicted 414 ms, bound 600 ms" in described(page, "measured")
    assert "the 95th percentile is 0.99 to 1.02 times the predicted" in text_of(page)


def test_the_published_page_says_what_its_files_say(pages: dict[str, str]) -> None:
    there = (PUBLISHED / "placement.html").read_text("utf-8")
    assert headline(there) == headline(pages["measured"])
    for table in ("models", "parts"):
        assert rows(there, table) == rows(pages["measured"], table)


def test_a_measurement_that_is_no_result_is_said_to_be_none(tmp_path: Path) -> None:
    placing = published()
    assert placing.proven
    spoilt = replace(placing, proven=replace(placing.proven, problems=["bert: the generator was late"]))
    assert "What was measured is no result: bert: the generator was late." in text_of(
        written(tmp_path, spoilt)
    )


def test_a_profile_of_one_share_has_no_knee(pages: dict[str, str]) -> None:
    assert 'id="shares"' not in pages["measured"]
    assert "The profile has one share" in text_of(pages["measured"])


def test_slices_are_told_as_slices_with_their_copies(pages: dict[str, str]) -> None:
    page = pages["slices"]
    assert re.search(r"\d slices?", described(page, "latency"))
    assert "With several copies" in described(page, "shares")
    assert all(len(row) == 10 for row in rows(page, "parts"))
    assert "100\u00a0%:" not in described(page, "shares")


def test_every_strategy_has_its_row_or_its_reason(pages: dict[str, str]) -> None:
    strategies = ["time-sharing", "equal-shares", "greedy", "gpulet", "search"]
    for name in ("one", "two", "many"):
        assert [row[0] for row in rows(pages[name], "strategies")] == strategies
        assert [row[0] for row in rows(pages[name], "load")] == [*strategies, "lower bound"]
        bound = [int(count) for count in rows(pages[name], "load")[-1][1:]]
        for row in rows(pages[name], "load")[:-1]:
            known = [
                (int(count), least) for count, least in zip(row[1:], bound, strict=True) if count != "\u2013"
            ]
            assert all(count >= least for count, least in known)


def test_a_strategy_without_a_placement_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "SECONDS_EACH", 0.0)
    page = written(tmp_path, PLACINGS["two"]())
    assert "greedy found none not found in the time that a page takes" in text_of(page)
    assert "greedy lacks some at 1 times the rates, not found in the time that a page takes" in text_of(page)
    assert [row[1] for row in rows(page, "strategies")] == ["\u2013"] * 4 + ["1"]
    assert "greedy: no placement" in described(page, "attainment")


def test_too_many_models_are_not_compared_and_the_page_says_so(tmp_path: Path) -> None:
    page = written(tmp_path, of_many(25, rate_rps=1.0))
    assert 'id="load"' not in page
    assert re.search(r"25 models on \d+ GPUs? would take every strategy too long", text_of(page))
    assert "Not drawn: 13 models with lower rates." in text_of(page)


def test_names_are_text_and_nothing_else(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    assert HOSTILE[0] not in page
    assert page.count("<script>") == 1  # that which sorts tables
    assert HOSTILE[0] in unescape(page)
    assert "$x_1$" in page


@pytest.mark.parametrize("name", PLACINGS)
def test_the_page_needs_nothing_but_itself(pages: dict[str, str], name: str) -> None:
    assert len(pages[name].encode()) < 3e6
    assert re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"', pages[name]) == []
    ids = re.findall(r' id="([^"]*)"', pages[name])
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", PLACINGS)
def test_every_drawing_has_a_title_and_its_numbers_in_words(pages: dict[str, str], name: str) -> None:
    drawings = re.findall(r'<svg role="img".*?</svg>', pages[name], flags=re.DOTALL)
    assert len(drawings) == len(re.findall(r'<div class="panel">', pages[name]))
    for drawing in drawings:
        assert re.search(r"<title [^>]*>\w.*</title><desc [^>]*>.*\d.*</desc>", drawing, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{6}\b", "".join(drawings)) == []


def test_a_folder_that_can_not_be_written_to_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", "utf-8")
    with pytest.raises(ExperimentError, match="give another --out"):
        write_page(tmp_path / "out", PLACINGS["one"]())
