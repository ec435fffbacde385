"""NVIDIA's MPS control daemon: found, started, talked to, ended. What the GPU is like lies in card/."""

from mps.control.daemon import Client, MpsDaemon, parse_ps
from mps.control.life import mps_daemon, owner_of, remove_leftovers
from mps.control.program import (
    CONTROL,
    PIPE_VARIABLE,
    DaemonRunningError,
    MpsError,
    NoMpsError,
    RunningDaemon,
    find_control,
    running_daemon,
)

__all__ = [
    "CONTROL",
    "PIPE_VARIABLE",
    "Client",
    "DaemonRunningError",
    "MpsDaemon",
    "MpsError",
    "NoMpsError",
    "RunningDaemon",
    "find_control",
    "mps_daemon",
    "owner_of",
    "parse_ps",
    "remove_leftovers",
    "running_daemon",
]
