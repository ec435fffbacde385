"""What the control daemon prints, understood; the life of a real one is in tests/integration."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mps.control import (
    Client,
    NoMpsError,
    find_control,
    mps_daemon,
    parse_ps,
    remove_leftovers,
    running_daemon,
)
from mps.control.life import PREFIX

HEADING = "PID       ID        SERVER         DEVICE              NAMESPACE      COMMAND        ATTRIBUTES"


def test_ps_lists_clients() -> None:
    lines = [
        HEADING,
        "9741      0         6472           GPU-5d1f0c4e-0000   4026531836     ./bert worker  ",
        "9743      1         6472           GPU-5d1f0c4e-0000   4026531836     python",
    ]
    assert parse_ps(lines) == [
        Client(9741, 6472, "GPU-5d1f0c4e-0000", "./bert worker"),
        Client(9743, 6472, "GPU-5d1f0c4e-0000", "python"),
    ]


@pytest.mark.parametrize("lines", [[], ["Server not found"], [HEADING], ["Server 5 not found", ""]])
def test_without_clients_ps_lists_none(lines: list[str]) -> None:
    assert parse_ps(lines) == []


@given(
    st.lists(
        st.builds(
            Client,
            pid=st.integers(0, 2**22),
            server_pid=st.integers(1, 2**22),
            device=st.from_regex(r"GPU-[0-9a-f]{8}", fullmatch=True),
            command=st.sampled_from(["python", "./a b c", ""]),
        )
    )
)
def test_ps_is_read_back_whatever_the_widths(clients: list[Client]) -> None:
    rows = [f"{c.pid:<10}{0:<10}{c.server_pid:<15}{c.device:<20}{1:<15}{c.command:<15}" for c in clients]
    assert parse_ps([HEADING, *rows]) == clients


@given(st.lists(st.text()))
def test_no_answer_to_ps_is_a_crash(lines: list[str]) -> None:
    parse_ps(lines)


def test_without_the_program_the_error_names_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoMpsError, match=r"no nvidia-cuda-mps-control here: .*Debian: nvidia-cuda-mps"):
        find_control()
    with (
        pytest.raises(NoMpsError, match=r"no /no/such/program here"),
        mps_daemon(binary=Path("/no/such/program")),
    ):
        pass


def test_no_daemon_runs_where_there_is_no_socket(tmp_path: Path) -> None:
    assert running_daemon(tmp_path) is None
    (tmp_path / "control").write_text("not a socket")
    assert running_daemon(tmp_path) is None


def test_folders_of_others_are_not_leftovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stat = Path(f"/proc/{os.getpid()}/stat").read_text("utf-8")
    ours = tmp_path / f"{PREFIX}{os.getpid()}-{stat.rpartition(')')[2].split()[19]}-abc"
    reused_pid = tmp_path / f"{PREFIX}{os.getpid()}-1-abc"
    foreign = tmp_path / f"{PREFIX}something"
    for folder in (ours, reused_pid, foreign):
        folder.mkdir()
    assert remove_leftovers() == [reused_pid]
    assert ours.exists()
    assert foreign.exists()
