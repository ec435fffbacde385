"""A profile's file: what is written is read back, and what is no profile is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import ExperimentError, UsageError
from experiments.profile import Point, read_points, write_points

MS = st.floats(0.001, 1e6).map(lambda value: float(f"{value:.6g}"))
COUNT = st.integers(1, 10**9)
POINTS = st.builds(
    Point,
    device=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20),
    model=st.sampled_from(["bert", "a,b", 'c"d']),
    precision=st.just("fp16"),
    share_percent=st.integers(1, 100),
    multiprocessors=st.none() | COUNT,
    cores=st.none() | COUNT,
    batch_size=COUNT,
    executions=COUNT,
    latency_ms_mean=MS,
    latency_ms_p50=MS,
    latency_ms_p95=MS,
    latency_ms_p99=MS,
    latency_ms_p50_least=MS,
    latency_ms_p50_most=MS,
    memory_bytes=COUNT,
    engine=st.sampled_from(["torch", "onnxruntime"]),
)
POINT = Point("GPU", "bert", "fp16", 50, 66, None, 8, 100, 1.5, 1.5, 2, 3, 1, 2, 10**6)


@given(points=st.lists(POINTS, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, points: list[Point]) -> None:
    path = tmp_path_factory.mktemp("profile") / "profile.csv"
    write_points(path, points)
    assert read_points(path) == points


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace("schema 1", "schema 9"), "is no profile"),
        (lambda text: text.replace("batch_size", "size"), "line 3.*batch_size"),
        (lambda text: text.replace(",50,", ",many,"), "line 3.*many"),
        (lambda text: text.replace(",1.5,", ",nan,"), "line 3"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, damage: object, told: str) -> None:
    path = tmp_path / "profile.csv"
    write_points(path, [POINT])
    path.write_text(damage(path.read_text("utf-8")), "utf-8")  # type: ignore[operator]
    with pytest.raises(ExperimentError, match=told):
        read_points(path)


def test_a_file_from_before_engines_were_told_is_read(tmp_path: Path) -> None:
    path = tmp_path / "profile.csv"
    write_points(path, [POINT])
    path.write_text(path.read_text("utf-8").replace(",engine", "").replace(",as archived", ""), "utf-8")
    assert read_points(path) == [POINT]


def test_ctrl_c_while_it_is_written_anew_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    class Interrupted(list[Point]):
        def __iter__(self) -> Iterator[Point]:
            yield POINT
            raise KeyboardInterrupt

    path = tmp_path / "profile.csv"
    write_points(path, [POINT, POINT])
    with pytest.raises(KeyboardInterrupt):
        write_points(path, Interrupted())
    assert read_points(path) == [POINT, POINT]
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't be read .* mps\.profile"):
        read_points(tmp_path / "none.csv")
