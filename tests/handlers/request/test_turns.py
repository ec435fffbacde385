"""Workers that share a part run one after the other."""

import threading
import time
from pathlib import Path

from handlers.request.turns import turns_of


def test_whoever_names_the_same_file_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "part-0")
    order: list[str] = []

    def other() -> None:
        with turns_of(path):
            order.append("other")

    with turns_of(path):
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_an_error_ends_the_turn(tmp_path: Path) -> None:
    path = str(tmp_path / "part-0")
    mine, theirs = turns_of(path), turns_of(path)
    try:
        with mine:
            raise ValueError
    except ValueError:
        pass
    with theirs:
        pass


def test_without_a_file_nobody_waits() -> None:
    with turns_of(None), turns_of(None):
        pass
