"""The file of what ran side by side: written, read back, and refused where it is something else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.profile import Batch, Beside, Pair, read_beside, write_beside
from experiments.profile.neighbours import MOST, SCHEMA

BATCHES = st.builds(
    Batch,
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=9),
    st.integers(1, 100),
    st.integers(1, 64),
)
TIMES = st.integers(1, 99999).map(lambda number: number / 1000)
BESIDE = st.builds(
    Beside,
    st.just("a card"),
    st.builds(Pair, BATCHES, st.lists(BATCHES, min_size=1, max_size=MOST - 1).map(tuple), TIMES),
    TIMES,
)


@given(measured=st.lists(BESIDE, min_size=1, max_size=5))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, measured: list[Beside]
) -> None:
    path = tmp_path_factory.mktemp("neighbours") / "pairs.csv"
    write_beside(path, measured)
    assert read_beside(path) == measured


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "its first line is not"),
        ("model,batch,percent,latency_ms\n", "its first line is not"),
        (SCHEMA + "\n", "holds no neighbours: write some"),
        (SCHEMA + "\nmodel\nbert\n", "line 3: .* is missing or wrong"),
        (
            SCHEMA + "\ndevice,model,share_percent,batch_size,latency_ms,times\nx,bert,50,1,9,1.1\n",
            "nobody is",
        ),
        (
            SCHEMA + "\ndevice,model,share_percent,batch_size,latency_ms,times,model2,share_percent2,"
            "batch_size2\nx,bert,50,1,9,1.1,bert,50,none\n",
            "line 3: .*'none'.* is missing or wrong",
        ),
    ],
)
def test_another_file_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=told):
        read_beside(path)
