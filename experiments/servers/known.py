"""The servers that there are, by their names."""

from collections.abc import Sequence

from experiments.base.errors import UsageError
from experiments.servers import bentoml, litserve, triton
from experiments.servers.dialects import V2, ListOfTexts, OneText
from experiments.servers.lives import Other
from experiments.servers.served import Server
from experiments.servers.torchserve import OurTorchServe

OTHERS: dict[str, Other] = {
    other.name: other
    for other in (
        Other("triton", triton.DELAY, V2(), triton.recipe),
        Other("litserve", litserve.DELAY, OneText(), litserve.recipe),
        Other("bentoml", bentoml.DELAY, ListOfTexts(), bentoml.recipe),
    )
}
OURS = OurTorchServe()
SERVERS: dict[str, Server] = {OURS.name: OURS, **OTHERS}


def servers(names: Sequence[str]) -> list[Server]:
    """Those of these names, in their order. Raises UsageError for one that is not known."""
    if unknown := [name for name in names if name not in SERVERS]:
        raise UsageError(f"no server {', '.join(unknown)}: choose among {', '.join(SERVERS)}")
    return [SERVERS[name] for name in names]
