"""What a daemon's log tells of its servers, and of what failed."""

from pathlib import Path

from mps.control.log import ControlLog

SERVER = "[2026-11-26 09:00:00.000 Server 7] "
CONTROL = "[2026-11-26 09:00:00.000 Control 5] "
QUESTION = [
    f"{CONTROL}Accepting connection...",
    f"{CONTROL}NEW UI",
    f"{CONTROL}Cmd:get_server_status 7",
    f"{CONTROL}ACTIVE",
    f"{CONTROL}UI closed",
]


def test_servers_get_ready_and_end(tmp_path: Path) -> None:
    path = tmp_path / "control.log"
    path.write_text(f"{SERVER}NEW SERVER 7: Ready\n{SERVER}NEW SER")
    log = ControlLog(path, ours=True)
    log.read()
    assert (log.ready, log.crashed) == ({7}, [])
    with path.open("a") as more:
        more.write(f"VER 8: Ready\n{CONTROL}Server 7 exited with status 0\n")
    log.read()
    assert (log.ready, log.crashed) == ({8}, [(7, 0)])


def test_the_log_of_another_s_daemon_is_read_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "control.log"
    path.write_text(f"{CONTROL}Server 6 exited with status 1\n")
    log = ControlLog(path, ours=False)
    with path.open("a") as more:
        more.write(f"{CONTROL}Server 7 exited with status 0\n{CONTROL}Server 8 exited with status 1\n")
    log.read()
    assert log.crashed == [(8, 1)], "it ends servers with 0 to make room for other users"


def test_what_was_said_last_is_not_our_own_questions(tmp_path: Path) -> None:
    path = tmp_path / "control.log"
    fault = f"{SERVER}Client 11 caused a fatal fault"
    path.write_text("\n".join([fault, *(QUESTION * 50)]))
    assert ControlLog(path, ours=True).tail() == fault


def test_a_log_that_is_closed_to_us_says_nothing(tmp_path: Path) -> None:
    log = ControlLog(tmp_path / "none.log", ours=False)
    log.read()
    assert (log.readable, log.tail(), log.crashed) == (False, "", [])
