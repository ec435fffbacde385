"""A day's demand: read, or refused in one line."""

from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.fleet.demand import Stated, read_demands


def read(folder: Path, entry: str) -> object:
    path = folder / "demand.yaml"
    path.write_text(f"demands:\n  - {entry}\n", "utf-8")
    return read_demands(path)


def test_a_rate_or_a_day_in_points(tmp_path: Path) -> None:
    path = tmp_path / "demand.yaml"
    quarters = [1.0] * 95 + [25]
    path.write_text(
        "demands:\n"
        "  - {model: bert, slo: p99=100ms, rate_rps: 40}\n"
        f"  - {{name: night, model: a/resnet.mar, slo: p95=1s, curve_rps: {quarters}, spare: 2}}\n",
        "utf-8",
    )
    bert, night = read_demands(path)
    assert (bert.name, bert.peak_rps, bert.mean_rps, bert.headroom, bert.spare) == ("bert", 40, 40, 0.2, 1)
    assert (night.model, night.archive, night.peak_rps, night.mean_rps) == (
        "resnet",
        "a/resnet.mar",
        25,
        1.25,
    )
    assert (night.slo.percentile, night.slo.bound_ms, night.spare) == (95, 1000, 2)


def test_what_others_measured_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "demand.yaml"
    path.write_text(
        "demands:\n  - model: bert\n    slo: p99=1s\n    rate_rps: 1\n    stated:\n"
        "      - {capacity_rps: 0.8, card: T4, vcpus: 1, memory_gib: 8, note: a blog}\n",
        "utf-8",
    )
    (demand,) = read_demands(path)
    assert demand.stated == (Stated(0.8, "T4", 1.0, 8 * 2**30, "a blog"),)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{model: bert, rate_rps: 1}", "bert has no bound: give one like `slo: p99=100ms`"),
        ("{model: bert, rate_rps: 1, slo: fast}", "'fast' is no latency bound"),
        ("{model: bert, slo: p99=1s}", "give `rate_rps` or `curve_rps`, one of them"),
        ("{model: bert, slo: p99=1s, rate_rps: 0}", "`rate_rps` is above 0, not 0"),
        ("{model: bert, slo: p99=1s, rate_rps: -3}", "`rate_rps` is above 0, not -3"),
        ("{model: bert, slo: p99=1s, rate_rps: .inf}", "`rate_rps` is a number, not inf"),
        ("{model: bert, slo: p99=1s, curve_rps: [1, 2]}", "`curve_rps` has 24 or 96 points, not 2"),
        (
            f"{{model: bert, slo: p99=1s, curve_rps: {[1] * 23 + [-1]}}}",
            "point 24 of `curve_rps` is 0 or more",
        ),
        (f"{{model: bert, slo: p99=1s, curve_rps: {[0] * 24}}}", "its highest rate is above 0, not 0"),
        ("{model: bert, slo: p99=1s, rate_rps: 1, spare: 0.5}", "`spare` is a whole number, not 0.5"),
        ("{model: bert, slo: p99=1s, rate_rps: 1, headroom: -1}", "`headroom` is 0 or more, not -1"),
        ("{slo: p99=1s, rate_rps: 1}", "`model` is missing"),
        ("{model: bert, slo: p99=1s, rate_rps: 1, gpus: 3}", "`gpus` is not known"),
        (
            "{model: bert, slo: p99=1s, rate_rps: 1}\n  - {model: bert, slo: p99=2s, rate_rps: 1}",
            "asked for twice",
        ),
        ("bert", "demand 1: needs name, model"),
    ],
)
def test_demands_that_are_none(tmp_path: Path, entry: str, line: str) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, entry)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
