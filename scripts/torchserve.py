"""The `torchserve` command of this project's virtual environment.

TorchServe's own launcher demands --model-store or --ts-config even where a config.properties lies in the
folder, needs a Java on PATH, shares one pid file and its sockets with all users of the machine, and returns
before anything serves. `torchserve --start` of this one needs no further option, keeps its files in a folder
of the user's own, and returns 0 once the APIs answer and the models are loaded; with --no-wait at once.
Otherwise it ends what it started, says why in a line, and exits with 1. With --mps it is mps/torchserve.py,
which calls this one again without; --stop returns when the MPS daemon of such a server has ended too.

`make setup` installs it:  python scripts/torchserve.py --install
"""

import os
import shlex
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = "from ts.model_server import start; start()"
NO_WAIT = "--no-wait"
OF_MPS = ("--mps", "--thread-percentage")
OURS = """
of this project's command:
  --no-wait             Return before the models are loaded
  --mps                 Serve under a MPS control daemon of its own (python -m mps.torchserve --help)
  --thread-percentage N
                        Percent of the GPU's multiprocessors for each worker, with --mps"""
STOP_TIMEOUT_S = 15.0

# Ours, whatever a PYTHONPATH holds; a script's own folder, with its torchserve.py, is none of its modules'.
sys.path[:] = [str(ROOT), *(each for each in sys.path if each != str(Path(__file__).parent))]


def install() -> None:
    """Writes the command beside the interpreter that runs this, in place of TorchServe's."""
    target = Path(sys.executable).parent / "torchserve"
    # A #! line can't hold a path with a blank, nor a long one.
    command = shlex.join([sys.executable, str(ROOT / "scripts" / "torchserve.py")])
    target.write_bytes(os.fsencode(f'#!/bin/sh\nexec {command} "$@"\n'))
    target.chmod(0o755)


def main() -> None:
    """Does what the arguments say; errors are a line, and exit code 1."""
    from experiments.base.errors import INTERRUPTED, ExperimentError
    from experiments.base.shown import never_fail_to_print

    never_fail_to_print()
    if any(each.split("=")[0] in OF_MPS for each in sys.argv[1:]):
        from mps.torchserve import app

        app(prog_name="torchserve")
    arguments = [each for each in sys.argv[1:] if each != NO_WAIT]
    try:
        _work_in_own_folder(starts="--start" in arguments)
        if "--start" in arguments:
            _start(_completed(arguments), wait=NO_WAIT not in sys.argv)
        elif "--stop" in arguments:
            _stop(arguments)
        else:
            _launch(arguments)
    except ExperimentError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _work_in_own_folder(starts: bool) -> None:
    """The pid file, the workers' sockets and unpacked models: those of another user are in nobody's way."""
    from experiments.serving.temporary import LEAST_BYTES, private_folder

    folder = str(private_folder("torchserve", LEAST_BYTES if starts else 0))
    os.environ["TMPDIR"] = os.environ["TEMP"] = tempfile.tempdir = folder


def _completed(arguments: list[str]) -> list[str]:
    """With the config.properties of this folder, where no other configuration is named."""
    named = any(each.split("=")[0] in ("--ts-config", "--model-store") for each in arguments)
    if named or "TS_CONFIG_FILE" in os.environ or not Path("config.properties").is_file():
        return arguments
    return [*arguments, "--ts-config", "config.properties"]


def _start(arguments: list[str], wait: bool) -> None:
    from ts.arg_parser import ArgParser

    from experiments.base.cores import core_quota, usable_cores
    from experiments.serving.configured import (
        archives_to_load,
        refuse_broken_archives,
        refuse_taken_ports,
        settings_of,
    )
    from experiments.serving.java import find_java, utf8_env
    from experiments.serving.shadows import python_path_of_workers, refuse_shadowed
    from experiments.serving.started import wait_until_serving
    from experiments.serving.torchserve.start import quota_options

    options = ArgParser.ts_parser().parse_args(arguments)
    config = os.environ.get("TS_CONFIG_FILE") or options.ts_config
    settings = settings_of(Path(config) if config else None)
    if _runs():
        sys.exit("error: your TorchServe is already running: torchserve --stop stops it")
    refuse_taken_ports(settings, config or "TorchServe's defaults")
    store = Path(options.model_store or settings.get("model_store", ""))
    archives = archives_to_load(settings, options.models, store)
    refuse_broken_archives(archives, store)
    for archive in archives:
        refuse_shadowed(store / archive)
    os.environ.update(python_path_of_workers())
    os.environ["JAVA_HOME"] = str(find_java().resolve().parent.parent)
    os.environ.update(utf8_env())
    if core_quota() is not None:  # torch and Java see the machine's cores
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
        os.environ.setdefault("JDK_JAVA_OPTIONS", " ".join(quota_options()))
    if options.foreground:
        _launch(arguments)
        return
    log = _log()
    with log.open("wb") as output:
        launched = subprocess.run(
            [sys.executable, "-P", "-c", LAUNCHER, *arguments], stdout=output, stderr=output
        )
    if launched.returncode or not _pid_file().is_file():
        printed = log.read_text("utf-8", errors="replace").strip().splitlines()
        sys.exit(f"error: {printed[-1] if printed else 'TorchServe did not start'}")
    if not wait:
        return
    tokens = not options.token_auth and settings.get("disable_token_authorization", "").lower() != "true"
    keys = Path("key_file.json") if tokens else None
    try:
        names = wait_until_serving(_pid(), settings, archives, log, keys)
    except BaseException:
        _end()
        raise
    where = settings.get("inference_address", "http://127.0.0.1:8080")
    print(f"TorchServe serves {', '.join(names) or 'no model yet'} at {where}; it logs into {log.parent}")


def _launch(arguments: list[str]) -> None:
    """TorchServe's launcher, in this process."""
    from ts.model_server import start

    sys.argv[:] = ["torchserve", *arguments]
    try:
        start()
    finally:
        if {"-h", "--help"}.intersection(arguments):
            print(OURS)


def _stop(arguments: list[str]) -> None:
    """TorchServe's own way; then the daemon that was started for it ends."""
    from experiments.serving.under_mps import daemon_folder, wait_until_ended

    folder = daemon_folder(_pid()) if _runs() else None
    _launch(arguments)
    wait_until_ended(folder)


def _log() -> Path:
    """What TorchServe prints in the background goes here, beside its logs."""
    from experiments.base.errors import ExperimentError

    log = Path(os.environ.get("LOG_LOCATION", "logs")) / "console.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError as error:
        raise ExperimentError(
            f"can't write {log}: {error.strerror}; start it in a folder of your own, or set LOG_LOCATION"
        ) from error
    return log.resolve()


def _pid_file() -> Path:
    return Path(tempfile.gettempdir()) / ".model_server.pid"


def _pid() -> int:
    return int(_pid_file().read_text("utf-8"))


def _runs() -> bool:
    """Whether a server of ours runs already."""
    import psutil

    with suppress(OSError, ValueError, psutil.Error):
        return "org.pytorch.serve.ModelServer" in psutil.Process(_pid()).cmdline()
    return False


def _end() -> None:
    """Ends the server that does not serve, with its workers: nothing of it is left."""
    import psutil

    from experiments.serving.instances import wait_until_dead

    with suppress(OSError, ValueError, psutil.Error):
        server = psutil.Process(_pid())
        family = [server, *server.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until_dead([process.pid for process in family], STOP_TIMEOUT_S)
    for each in (_pid_file(), Path("key_file.json")):
        each.unlink(missing_ok=True)


if __name__ == "__main__":
    install() if sys.argv[1:] == ["--install"] else main()
