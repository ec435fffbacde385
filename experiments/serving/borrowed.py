"""A control daemon that somebody else started: what speaks against measuring with it.

What it allows its clients is in force for ours too, and who they are can only be told where they and we see
the same pids.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from mps.card import Gpu
from mps.control import MpsDaemon, mps_daemon, running_daemon

PROTOCOL = (
    "CUDA_MPS_PROTOCOL_VERSION"  # R615 on; https://docs.nvidia.com/deploy/mps/latest/mpsv3-interface.html
)
OURS = "drop --use-running-daemon, so that one of ours is started"


def obstacles_of_running(card: Gpu, control: Path | None) -> Iterator[str]:
    """What keeps a proof or a figure from being true with the daemon that runs, a line each.

    Raises MpsError where it does not answer.
    """
    if os.environ.get(PROTOCOL) == "3":
        yield f"the MPS daemon speaks protocol 3 ({PROTOCOL}), which has no `ps` to prove an arm with: {OURS}"
        return
    there = running_daemon()
    if there is None:
        return  # told by who looks for it
    if not there.pid:  # SO_PEERCRED of another pid namespace
        yield (
            "the MPS daemon runs in another pid namespace, so that nobody can tell whether the workers are "
            f"its clients: run in its namespace (hostPID of a pod), or {OURS}"
        )
        return
    with mps_daemon(binary=control, use_running=True, device=card.uuid) as daemon:
        if (percent := _smallest_share(daemon)) < 100:
            yield (
                f"the MPS daemon gives its clients {percent:g} % of the GPU at most, whatever they ask for: "
                f"`set_default_active_thread_percentage 100` there and new servers, or {OURS}"
            )


def _smallest_share(daemon: MpsDaemon) -> float:
    """Percent of the multiprocessors that new clients get at most, of its servers and of the next."""
    return min([daemon.default_thread_percentage(), *map(daemon.thread_percentage, daemon.servers())])
