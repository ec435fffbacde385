"""What Ray runs on a node: the look at it beforehand, and the actor that starts a card's program there.

It is sent as it is, since the node may lack this project: nothing of it is imported before it is known to be
there.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTHING = ""


def look(root: str) -> dict[str, Any]:
    """What deal() needs to know of this node; `lacks` says what it has not, and is empty else."""
    return {
        "host": platform.node(),
        "machine": Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(),
        "cores": sorted(os.sched_getaffinity(0)),
        "lacks": _lacks(root),
    }


def _lacks(root: str) -> str:
    if not (Path(root) / "experiments" / "cluster" / "card_program.py").is_file():
        return f"this project at {root}, where the driver has it"
    sys.path.insert(0, root)
    try:
        import experiments.cluster.program  # noqa: F401
    except ImportError as error:
        return f"what the project needs ({error})"
    return NOTHING


class CardActor:
    """The card's end of Ray: passes on what the driver and the card's program tell each other."""

    def __init__(self, root: str, cores: tuple[int, ...], device: str) -> None:
        sys.path.insert(0, root)
        from experiments.cluster.program import CardProgram

        self._program = CardProgram(cores, device)

    def equip(self, plan: Any, bench: Any, archive: Any) -> None:
        """`archive` is the file's content, which Ray has brought to this node once. The program takes the
        file into its own folder, which is removed even if this process is killed."""
        from dataclasses import replace

        from experiments.cluster.messages import Equip

        path = Path(tempfile.mkdtemp(prefix="tsmps-archive-")) / bench.archive.name
        path.write_bytes(archive)
        self._program.send(Equip(plan, replace(bench, archive=path), takes_archive=True))

    def give(self, work: Any) -> None:
        """Passes on work."""
        self._program.send(work)

    def events(self, longest_s: float) -> list[Any]:
        """Passes on what the program tells; waits so long for the first."""
        return list(self._program.events(longest_s))

    def close(self) -> None:
        """Stops the program with its servers."""
        self._program.close()
