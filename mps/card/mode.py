"""The compute mode, borrowed and put back. Changed through nvidia-smi, which says in words why it may not."""

import json
import logging
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from experiments.base.files import write_json
from experiments.base.interrupts import Reserve, carry_through, interrupts_held_back
from experiments.base.owned import new_name, those_of_the_dead
from mps.card.device import DEFAULT, EXCLUSIVE_PROCESS, PROHIBITED, Gpu, GpuError, compute_mode, nvml

log = logging.getLogger(__name__)

NOTE = "gpu-mode-"  # of the mode before, in TMPDIR, for the next run where this one is killed
MODES = (DEFAULT, PROHIBITED)  # that can have been there before
SMI_TIMEOUT_S = 60.0  # without persistence mode the driver initialises the card first, which takes seconds


@contextmanager
def exclusive_process(
    card: Gpu,
    *,
    keep: bool = False,
    smi: Path | str = "nvidia-smi",
    warn: Callable[[str], None] = log.warning,
) -> Iterator[str]:
    """The GPU in EXCLUSIVE_PROCESS mode, so that nothing bypasses the MPS daemon; yields the mode in force.

    Without persistence mode the driver forgets the mode when the last who has the card open leaves: so NVML
    stays open from before it is set until it is put back.

    What was there before comes back at the end, whatever happens inside; SIGINT and SIGTERM wait while the
    mode is being changed. Where it may not be changed, `warn` gets the reason and the mode stays: MPS works
    in DEFAULT mode too. `keep` leaves it alone from the start. Raises GpuError when it can't be put back.

    The mode holds for every process on the machine. Without MPS only one process can use the card in it. What
    a run that was killed has left of it is put back first.
    """
    with nvml():
        put_back_after_the_dead(card, smi=smi)
        before = compute_mode(card)
        if keep or before == EXCLUSIVE_PROCESS:
            yield before
            return
        note, reserve = Path(tempfile.gettempdir()) / new_name(NOTE), Reserve()
        try:
            with interrupts_held_back():
                with suppress(OSError):  # a full disk: then it stays to the user
                    write_json(note, {"card": card.uuid, "before": before})
                refusal = _set_compute_mode(card, EXCLUSIVE_PROCESS, smi)
            if refusal:
                warn(
                    f"the compute mode of {card.name} stays {before} ({refusal}): MPS works, but a process "
                    "that does not know of the daemon can use the GPU beside it"
                )
            yield before if refusal else EXCLUSIVE_PROCESS
        finally:
            carry_through(lambda: _put_back(card, before, smi, note, reserve))


def put_back_after_the_dead(card: Gpu, smi: Path | str = "nvidia-smi") -> None:
    """Puts the mode back that a run found which was killed in EXCLUSIVE_PROCESS, and can't any more.

    A note of before the machine was started says nothing. Raises GpuError when it can't be put back.
    """
    for note in those_of_the_dead(NOTE):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(note.read_text("utf-8")) if note.suffix != ".new" else {}
            if told and told["card"] != card.uuid:
                continue
            ours = told and note.stat().st_mtime > psutil.boot_time()
            if ours and told["before"] in MODES and compute_mode(card) == EXCLUSIVE_PROCESS:
                with interrupts_held_back():
                    _put_back(card, told["before"], smi, note)
        note.unlink(missing_ok=True)


def _put_back(card: Gpu, before: str, smi: Path | str, note: Path, reserve: Reserve | None = None) -> None:
    if reserve:
        reserve.release()
    if compute_mode(card) == before:
        note.unlink(missing_ok=True)
        return
    if refusal := _set_compute_mode(card, before, smi):
        raise GpuError(
            f"the compute mode of {card.name} could not be put back to {before} ({refusal}): "
            f"run `nvidia-smi -i {card.uuid} -c {before}`"
        )
    note.unlink(missing_ok=True)


def _set_compute_mode(card: Gpu, mode: str, smi: Path | str) -> str | None:
    """Sets the mode; returns why it could not. nvidia-smi's exit code is not enough: it treats 'Not
    Supported' as a warning and ends with 0."""
    try:
        done = subprocess.run(
            [str(smi), "-i", card.uuid, "-c", mode],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SMI_TIMEOUT_S,
            start_new_session=True,  # Ctrl-C in the terminal must not end it halfway
        )
    except OSError as error:
        return f"nvidia-smi can't be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"nvidia-smi took longer than {SMI_TIMEOUT_S:.0f} s"
    if compute_mode(card) == mode:
        return None
    if done.returncode == 0 and card.persistence is False:
        return f"the driver forgets it, since persistence mode is off: `nvidia-smi -i {card.uuid} -pm 1`"
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"nvidia-smi: {said[0].strip().rstrip('.') if said else f'exit code {done.returncode}'}"
