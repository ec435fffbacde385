"""Files are there whole or not at all, and where they can't be, no half of them is."""

from contextlib import suppress
from pathlib import Path

from experiments.base.files import replacing, write_whole


def test_a_file_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_of_one_that_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")
    with suppress(OSError), replacing(path) as temporary:
        temporary.write_text("ne")
        Path("/dev/full").write_text("w", "utf-8")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
