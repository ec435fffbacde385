"""What Ray runs on a node: the look at it beforehand, and the actors that start programs there.

It is sent as it is, since the node may lack this project: nothing of it is imported before it is known to be
there.
"""

import os
import platform
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

NOTHING = ""
ANSWER_S = 30.0  # an actor answers within it, if with nothing


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


class Actor:
    """A program's end of Ray: passes on what others and the program tell each other."""

    def __init__(self, root: str, module: str, cores: tuple[int, ...], *arguments: str) -> None:
        sys.path.insert(0, root)
        from experiments.cluster.program import Program

        self._program = Program(module, cores, *arguments)

    def give(self, work: Any) -> None:
        """Passes on work."""
        self._program.send(work)

    def events(self, longest_s: float) -> list[Any]:
        """Passes on what the program tells; waits so long for the first."""
        return list(self._program.events(longest_s))

    def close(self) -> None:
        """Stops the program with its servers."""
        self._program.close()


class CardActor(Actor):
    """A card's. `loading` is the actor that sends its loads from `load_seat`; None: it does that itself."""

    def __init__(
        self, root: str, cores: tuple[int, ...], device: str, loading: Any = None, load_seat: Any = None
    ) -> None:
        super().__init__(root, "card_program", cores, device)
        self._loading, self._load_seat = loading, load_seat
        self._why_lost = NOTHING

    def equip(self, plan: Any, bench: Any, archive: Any) -> None:
        """`archive` is the file's content, which Ray has brought to this node once. The program takes the
        file into its own folder, which is removed even if this process is killed."""
        from dataclasses import replace

        from experiments.cluster.messages import Equip

        path = Path(tempfile.mkdtemp(prefix="tsmps-archive-")) / bench.archive.name
        path.write_bytes(archive)
        bench = replace(bench, archive=path)
        self._program.send(Equip(plan, bench, takes_archive=True, load_seat=self._load_seat))

    def events(self, longest_s: float) -> list[Any]:
        """As above, but for the loads that it asks for, which go to who sends them."""
        from experiments.cluster.messages import Lost, Send

        told = super().events(longest_s)
        for each in told:
            if isinstance(each, Send):
                threading.Thread(target=self._pass_on, args=(each,), daemon=True).start()
        passed = (
            Lost(self._why_lost) if isinstance(each, Lost) and self._why_lost else each for each in told
        )
        return [each for each in passed if not isinstance(each, Send)]

    def _pass_on(self, asked: Any) -> None:
        """Brings a load to who sends it, and what it found back. Where that is lost, so is this card."""
        import ray

        from experiments.cluster.messages import Loaded, Lost, NotLoaded

        why: object = NOTHING
        try:
            ray.get(self._loading.give.remote(asked))
            while not why:
                for told in ray.get(self._loading.events.remote(ANSWER_S)):
                    if isinstance(told, Loaded | NotLoaded):
                        self._program.send(told)
                        return
                    why = told.why if isinstance(told, Lost) else why
        except ray.exceptions.RayError as error:
            why = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        self._why_lost = f"its loads came from {self._load_seat.name}, which is lost: {str(why).rstrip('.:')}"
        self._program.close()
