"""Published figures: as their documents tell them, and never mixed up with ours."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.paths import ROOT
from experiments.plan import plan_from, settings_in
from experiments.verdict.published import (
    DOCUMENTS,
    FOLDER,
    LITSERVE,
    TORCHSERVE,
    VIRTEX,
    Document,
    beside,
    published_bars,
    published_ratios,
)

OURS = "this run: NVIDIA Abacus"


def a_row(**changes: Any) -> dict[str, Any]:
    return {
        "workers": 2,
        "batch_size": 8,
        "mps": True,
        "twin": False,
        "thread_percentage": None,
        "concurrency": 64,
        "throughput_rps_median": 500.0,
        **changes,
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_document_tells_its_source_and_has_a_plan_that_asks_the_same(document: Document) -> None:
    assert (FOLDER / f"{document.name}.csv").read_text().startswith("#")
    assert document.figures()["hardware"].notna().all()
    assert (document.figures()["throughput_rps"] > 0).all()
    plan = plan_from(settings_in(ROOT / document.plan))
    assert plan.runs == 5 or plan.slo


def test_torchserves_figures_are_those_of_its_charts() -> None:
    figures = TORCHSERVE.figures().set_index(["hardware", "workers", "mps", "batch_size"])["throughput_rps"]
    assert len(figures) == 36
    assert figures["V100 (AWS p3.2xlarge)", 2, "on", 4] == 318
    assert figures["T4 (AWS g4dn.4xlarge)", 1, "off", 128] == 107


def test_torchserves_ratios_are_smaller_than_its_text_says() -> None:
    of_t4 = [ratio for (hardware, _, _), ratio in published_ratios().items() if hardware.startswith("T4")]
    assert (len(of_t4), round(min(of_t4), 2), round(max(of_t4), 2)) == (4, 0.92, 1.12)
    assert round(published_ratios()["V100 (AWS p3.2xlarge)", 2, 4], 2) == 1.26


def test_of_litserve_the_bare_model_is_no_bar_of_the_server() -> None:
    assert len(published_bars(LITSERVE)) == 36
    assert max(bar.throughput_rps for bar in published_bars(LITSERVE)) == 160.85


def test_our_bar_stands_in_their_panel_under_our_name() -> None:
    bars = beside(TORCHSERVE, {OURS: [a_row()]})
    (ours,) = (bar for bar in bars if bar.ours)
    assert (ours.panel, ours.at, ours.source, ours.throughput_rps) == ("2 workers, MPS on", 8, OURS, 500.0)
    theirs = [bar for bar in bars if not bar.ours]
    assert {bar.panel for bar in theirs} == {"2 workers, MPS on"}
    assert {bar.source for bar in theirs} == {
        "published: V100 (AWS p3.2xlarge)",
        "published: T4 (AWS g4dn.4xlarge)",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": 3},
        {"batch_size": 5},
        {"twin": True},
        {"thread_percentage": 50},
        {"throughput_rps_median": float("nan")},
    ],
    ids=str,
)
def test_what_they_did_not_measure_has_no_bars(changes: dict[str, Any]) -> None:
    assert beside(TORCHSERVE, {OURS: [a_row(**changes)]}) == []


def test_of_several_cells_at_one_setting_the_fastest_is_shown() -> None:
    rows = [a_row(batch_size=size, throughput_rps_median=float(size)) for size in (1, 32, 8)]
    assert [bar.throughput_rps for bar in beside(LITSERVE, {OURS: rows}) if bar.ours] == []
    rows = [a_row(workers=4, batch_size=size, throughput_rps_median=float(size)) for size in (1, 32, 8)]
    assert [bar.throughput_rps for bar in beside(LITSERVE, {OURS: rows}) if bar.ours] == [32.0]


def test_texts_are_counted_where_the_document_counts_them() -> None:
    rows = [a_row(client_batch=5, throughput_rps_median=100.0)]
    (ours,) = (bar for bar in beside(VIRTEX, {OURS: rows}) if bar.ours)
    assert (ours.panel, ours.at, ours.throughput_rps) == ("1 GPU", 5, 500.0)


@given(
    st.sampled_from(DOCUMENTS),
    st.lists(
        st.builds(
            a_row,
            workers=st.integers(1, 4),
            batch_size=st.sampled_from([1, 3, 8, 128]),
            mps=st.booleans(),
            concurrency=st.sampled_from([1, 8, 50]),
            throughput_rps_median=st.floats(0.1, 1e5),
        )
    ),
)
def test_ours_and_theirs_are_told_apart_whatever_was_measured(
    document: Document, rows: list[dict[str, Any]]
) -> None:
    bars = beside(document, {OURS: rows})
    assert all((bar.source == OURS) == bar.ours for bar in bars)
    assert all(bar.source.startswith("published: ") for bar in bars if not bar.ours)
    for panel in {bar.panel for bar in bars}:
        assert {bar.ours for bar in bars if bar.panel == panel} == {True, False}
