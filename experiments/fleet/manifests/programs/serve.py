"""Serves one archive with the batch size and workers of a manifest: TorchServe in the foreground.

TorchServe takes an archive's batch size from the archive alone, so that is unpacked with the manifest's
settings first. It is the first process of a container: it passes SIGTERM on, waits for what was started, and
leaves none.
"""

import argparse
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[4]
COMMAND = ROOT / "scripts" / "torchserve.py"
STOP_TIMEOUT_S = 30.0
PERIOD_S = 0.05
PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans become ours, as they do the first process's of a container

# Ours, whatever a PYTHONPATH holds; this script's own folder is no place for modules.
sys.path[:] = [str(ROOT), *(each for each in sys.path if each != str(Path(__file__).parent))]


def main() -> None:
    """Ends with TorchServe's exit code; 0 where it was asked to end."""
    signal.signal(signal.SIGTERM, _end)  # else the first process of a container would not hear it
    options = _options()
    from experiments.base.errors import ExperimentError
    from experiments.bench.model_store import furnish

    frontend = {
        "batchSize": options.batch_size,
        "maxBatchDelay": options.batch_delay_ms,
        "minWorkers": options.workers,
        "maxWorkers": options.workers,
    }
    shutil.rmtree(options.store, ignore_errors=True)  # of an instance that was killed
    try:
        options.store.mkdir(parents=True)
        furnish(options.archive, options.store, options.name, {}, frontend)
    except ExperimentError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: can't write {options.store}: {error.strerror}; give another --store")
    sys.exit(_run(_torchserve(options)))


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--batch-delay-ms", type=int, required=True)
    parser.add_argument("--store", type=Path, required=True, help="a folder that is made anew")
    parser.add_argument("--config", required=True)
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--thread-percentage", type=int)
    return parser.parse_args()


def _torchserve(options: argparse.Namespace) -> list[str]:
    command = [
        sys.executable,
        str(COMMAND),
        "--start",
        "--foreground",
        "--ncs",
        "--ts-config",
        options.config,
    ]
    if options.mps:
        command.append("--mps")
    if options.thread_percentage is not None:
        command += ["--thread-percentage", str(options.thread_percentage)]
    return command


def _run(command: list[str]) -> int:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    asked: list[int] = []
    process = subprocess.Popen(command, start_new_session=True)

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    code = process.wait()
    _wait_for_the_rest(process.pid)
    return 0 if asked else code if code >= 0 else 128 - code


def _wait_for_the_rest(group: int) -> None:
    """TorchServe's launcher ends before TorchServe does, which then is ours to wait for."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(PERIOD_S)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
