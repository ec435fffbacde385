"""TorchServe with a control daemon of its own: up before TorchServe, ended after it, whatever ends it.

A process of ours keeps the daemon as long as TorchServe lives: the command itself in the foreground, else one
in the background. TorchServe is started by this project's `torchserve` command, which knows what it needs.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from experiments.base.errors import UsageError
from experiments.base.interrupts import carry_through, interrupts_held_back
from experiments.base.paths import ROOT
from experiments.serving.workers import share_env
from mps.card import Gpu, gpu, gpus, preflight, processes
from mps.control import (
    PIPE_VARIABLE,
    MpsDaemon,
    MpsError,
    end_command,
    find_control,
    mps_daemon,
    owner_of,
    protocol,
    remove_leftovers,
    running_daemon,
)

COMMAND = (sys.executable, str(ROOT / "scripts" / "torchserve.py"))
FOREGROUND = "--foreground"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FRONTEND = "org.pytorch.serve.ModelServer"
# One of these is in each command line: the command's, of TorchServe's launcher, the server, a worker.
OURS = (COMMAND[1], "from ts.model_server import start", FRONTEND, "model_service_worker")
PR_SET_PDEATHSIG = 1  # prctl(2)
PERIOD_S = 0.5
STOP_GRACE_S = 15.0  # TorchServe itself takes two seconds, and more with answers on their way
KILL_TIMEOUT_S = 5.0
KEEPER_GRACE_S = 30.0  # STOP_GRACE_S, and what a daemon may take to quit


def cards_to_serve_on() -> list[Gpu]:
    """The GPUs of CUDA_VISIBLE_DEVICES, else all: those that TorchServe deals its workers to.

    Raises UsageError for what speaks against serving under MPS: no GPU, no control program, a card that MPS
    can't be used on, a daemon that runs already.
    """
    first = gpu()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = gpus() if visible is None else [first, *(gpu(each.strip()) for each in visible.split(",")[1:])]
    find_control()
    for card in cards:
        for problem in preflight(card, 1, ours=[process.pid for process in processes(card)]):
            raise UsageError(problem)
    if (there := running_daemon()) is not None:
        raise UsageError(
            f"an MPS control daemon runs already: {there}; without --mps TorchServe's workers use it, or end "
            f"it: {end_command(there, protocol(there))}"
        )
    return cards


def serve(
    arguments: Sequence[str],
    cards: Sequence[Gpu],
    thread_percentage: int | None,
    tell: Callable[[str], None],
    started: Callable[[], None],
) -> int:
    """Starts a daemon for `cards`, then `torchserve` with `arguments`; returns when both have ended.

    `started` is called once TorchServe was started in the background. Returns the command's exit code. Raises
    MpsError, with the end of its log, where the daemon or its server does not come up, and where the daemon
    ends first: TorchServe is then stopped, since its workers have lost the GPU.
    """
    with mps_daemon(device=",".join(card.uuid for card in cards)) as daemon:
        # Else the first workers start it, and those that come meanwhile may be turned away.
        daemon.start_server()
        tell(f"MPS: control daemon {daemon.pid}, pipe folder {daemon.pipe_folder}, log {daemon.log}")
        numbers = ",".join(map(str, range(len(cards))))  # a daemon counts the cards that it was limited to
        environment = {**daemon.env, "CUDA_VISIBLE_DEVICES": numbers, **share_env(thread_percentage)}
        with _launched(arguments, environment) as launcher:
            _watch(daemon, lambda: launcher.poll() is None)
            if launcher.returncode == 0 and FOREGROUND not in arguments:
                server = _frontend(daemon.pipe_folder)
                started()
                _watch(daemon, lambda: server is not None and _lives(server))
    code: int = launcher.returncode
    if code == 0:  # else TorchServe has said why
        tell("TorchServe has ended, and its MPS control daemon")
    return code if code >= 0 else 128 - code


def in_background(serve: Callable[[Callable[[], None]], int], log: Path) -> int:
    """Calls `serve` in a process and session of its own, with a function that it calls once it has started.

    Returns in both processes: here 0 once it has started, else its exit code; there what `serve` returns.
    After its start it prints into `log`. A signal before that ends it, and this waits for its end; where this
    process is killed before that, it ends as well.
    """
    reading, writing = os.pipe()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may fall between a keeper and who tells it
    ours, keeper = os.getpid(), os.fork()
    if keeper == 0:
        os.setsid()
        _signal_at_the_parents_end(signal.SIGTERM)
        if os.getppid() != ours:  # it has ended
            os.kill(os.getpid(), signal.SIGTERM)
        os.close(reading)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's `&` has ignored
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return serve(lambda: _let_go(writing, log))
    os.close(writing)
    told: list[int] = []

    def tell_keeper(number: int, frame: FrameType | None) -> None:
        if not told:  # an impatient second one changes nothing
            with suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
        told.append(number)

    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, tell_keeper)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    started = os.read(reading, 1)
    for number in heard:
        signal.signal(number, signal.SIG_IGN)  # it is too late for them: `torchserve --stop`
    if started and not told:
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])


def _signal_at_the_parents_end(number: int) -> None:
    """This process gets that signal when its parent ends from now on; none with 0."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def daemon_folder(server_pid: int) -> Path | None:
    """The folder of the daemon that `serve` started for a TorchServe; None where it has none of ours."""
    with suppress(psutil.Error):
        pipe_folder = psutil.Process(server_pid).environ().get(PIPE_VARIABLE)
        folder = Path(pipe_folder).parent if pipe_folder else None
        return folder if folder and owner_of(folder) else None
    return None


def wait_until_ended(folder: Path | None) -> None:
    """Returns once the daemon in `folder` has ended, and who kept it, after its TorchServe was told to stop.
    Daemons whose keeper was killed are ended.

    Raises MpsError where that takes too long.
    """
    for patience_s in (STOP_GRACE_S, KEEPER_GRACE_S):
        deadline = time.monotonic() + patience_s
        while folder and (keeper := owner_of(folder)) and time.monotonic() < deadline:
            time.sleep(0.02)
        if folder and (keeper := owner_of(folder)):
            os.kill(keeper, signal.SIGTERM)  # TorchServe does not end by itself
    if folder and (keeper := owner_of(folder)):
        raise MpsError(f"the MPS control daemon in {folder} does not end: kill -9 {keeper}, and stop again")
    remove_leftovers()


@contextmanager
def _launched(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """`torchserve` with these arguments; at the end nothing of what it started is left."""
    launcher = None
    try:
        with interrupts_held_back():
            launcher = subprocess.Popen(
                [*COMMAND, *arguments],
                env={**os.environ, **environment},
                start_new_session=True,  # Ctrl-C reaches us, and we end it
            )
        yield launcher
    finally:
        carry_through(lambda: _end(launcher, Path(environment[PIPE_VARIABLE])))


def _watch(daemon: MpsDaemon, lives: Callable[[], bool]) -> None:
    process = psutil.Process(daemon.pid)
    while lives():
        if not _lives(process):
            raise MpsError(
                f"the MPS control daemon (pid {daemon.pid}) has ended: TorchServe is stopped, since its "
                "workers have lost the GPU; start it again",
                daemon.log_tail(),
            )
        time.sleep(PERIOD_S)


def _end(launcher: "subprocess.Popen[bytes] | None", pipe_folder: Path) -> None:
    """Asks TorchServe to end, then kills what is left of it."""
    family = _family(pipe_folder)
    server = _frontend(pipe_folder)
    if launcher is not None and launcher.poll() is None:
        # Interrupted, it ends what it started and removes its files; before that it would print a traceback.
        launcher.send_signal(signal.SIGINT if server else signal.SIGKILL)
    if server is not None:
        with suppress(psutil.Error):
            server.terminate()
    deadline = time.monotonic() + STOP_GRACE_S
    while any(map(_lives, family)) and time.monotonic() < deadline:
        time.sleep(0.02)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while (left := _family(pipe_folder)) and time.monotonic() < deadline:  # one may have been about to start
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)
    if launcher is not None:
        launcher.kill()
        launcher.wait()


def _family(pipe_folder: Path) -> list[psutil.Process]:
    """The command, TorchServe and its workers, with all that they started. Others may use the daemon too."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = any(name in " ".join(process.cmdline()) for name in OURS)
            if ours and process.environ().get(PIPE_VARIABLE) == str(pipe_folder):
                found |= {process, *process.children(recursive=True)}
    return list(found)


def _frontend(pipe_folder: Path) -> psutil.Process | None:
    for process in _family(pipe_folder):
        with suppress(psutil.Error):
            if FRONTEND in process.cmdline():
                return process
    return None


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _let_go(started: int, log: Path) -> None:
    """Tells through the pipe that all is up, and leaves its parent and the terminal: later lines go into
    `log`."""
    _signal_at_the_parents_end(0)
    try:
        printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError:
        printed = os.open(os.devnull, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for now, before in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(now, before)
    for opened in (nothing, printed):
        os.close(opened)
    os.write(started, b"1")
    os.close(started)
