"""The servers that a plan may ask for, by their names; pure. What they are: experiments/servers/known.py."""

from collections.abc import Sequence

from experiments.base.errors import UsageError

TORCHSERVE = "torchserve"
SERVERS = (TORCHSERVE, "triton", "litserve", "bentoml")


def check_servers(servers: Sequence[str]) -> None:
    """Raises UsageError for none, and for one that is not known."""
    if not servers:
        raise UsageError("--server needs at least one value")
    for name in servers:
        if name not in SERVERS:
            raise UsageError(f"--server must be one of {', '.join(SERVERS)}, not {name!r}")
