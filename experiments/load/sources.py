"""Who sends a load: this process, or a program on another node. A campaign asks either in the same way.

Here: what is asked of them, and the one that is here. Not here: how another node is asked (cluster/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from experiments.load import LoadResult, Sending, run
from experiments.results.load_from import LoadFrom

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a load found, on the clock of this machine. `load_from` is None where it was sent from here.
    `disturbed` says what other programs did where it came from, where that is not here and was much."""

    result: LoadResult
    load_from: LoadFrom | None = None
    disturbed: str | None = None


class Source(Protocol):
    """Sends loads to a server that listens on `listens_on`."""

    @property
    def listens_on(self) -> str: ...

    @property
    def is_here(self) -> bool:
        """Whether what it takes of the CPU is taken from the server's machine."""
        ...

    def send(self, sending: Sending, *, processes: int = 1, keep_answers: bool = False) -> Sent:
        """As `run`, with what that raises."""
        ...


class Here:
    """This process, which reaches the server by loopback."""

    listens_on = LOOPBACK
    is_here = True

    def send(self, sending: Sending, *, processes: int = 1, keep_answers: bool = False) -> Sent:
        found = run(
            sending.url,
            sending.pool,
            sending.load,
            headers=sending.headers,
            seed=sending.seed,
            processes=processes,
            keep_answers=keep_answers,
        )
        return Sent(found)


HERE = Here()
