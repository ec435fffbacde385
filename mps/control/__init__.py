"""NVIDIA's MPS control daemon: found, started, talked to, ended. What the GPU is like lies in card/."""

from mps.control.daemon import Client, MpsDaemon, UnknownCommandError, parse_ps
from mps.control.life import mps_daemon, owner_of, remove_leftovers
from mps.control.partitions import PARTITION_VARIABLE, Partition, Room, too_old
from mps.control.program import (
    CONTROL,
    PIPE_VARIABLE,
    DaemonKilledError,
    DaemonRunningError,
    MpsError,
    NoMpsError,
    RunningDaemon,
    find_control,
    running_daemon,
)
from mps.control.versions import PROTOCOL_VARIABLE, end_command, protocol, version, version_told

__all__ = [
    "CONTROL",
    "PARTITION_VARIABLE",
    "PIPE_VARIABLE",
    "PROTOCOL_VARIABLE",
    "Client",
    "DaemonKilledError",
    "DaemonRunningError",
    "MpsDaemon",
    "MpsError",
    "NoMpsError",
    "Partition",
    "Room",
    "RunningDaemon",
    "UnknownCommandError",
    "end_command",
    "find_control",
    "mps_daemon",
    "owner_of",
    "parse_ps",
    "protocol",
    "remove_leftovers",
    "running_daemon",
    "too_old",
    "version",
    "version_told",
]
