"""Which of a plan's servers can serve its archive here: asked before anything starts."""

from dataclasses import replace

from experiments.base.errors import UsageError
from experiments.bench.bench import Bench
from experiments.bench.inputs import TEXT_KINDS
from experiments.plan import Plan
from experiments.plan.servers import TORCHSERVE
from experiments.servers.environments import WHOLE, environment_of, ingredients, package_of

TAKEN = {"text": "text/plain", "embedding": "text/plain", "image": "image/"}
"""The kinds of archives that the others serve, and how the content type of what they are sent begins."""


def servable(plan: Plan, bench: Bench) -> tuple[Plan, list[str]]:
    """The plan without the servers that can't serve its archive, and a line about each of these; about MPS
    too, which TorchServe alone has. Raises UsageError where none is left."""
    refused = {server: why for server in plan.server if (why := _why_not(server, plan, bench))}
    left = tuple(server for server in plan.server if server not in refused)
    if not left:
        raise UsageError("; ".join(refused.values()))
    lines = [f"without {server}: {why}" for server, why in refused.items()]
    return (replace(plan, server=left) if refused else plan), lines


def _why_not(server: str, plan: Plan, bench: Bench) -> str | None:
    if server == TORCHSERVE:
        return None
    kind = bench.provenance.kind
    if kind == "unknown":
        return f"{bench.archive.name} is not built by make mar, and {server} serves our handlers only"
    if bench.card is not None:
        mps = ", and without MPS" if plan.with_mps else ""
        return f"{server} runs on CPUs here{mps}, and {bench.card.name} is measured: --device cpu"
    if not all(body.content_type.startswith(TAKEN[kind]) for body in bench.pool) or (
        kind in TEXT_KINDS and not all(_is_utf8(body.data) for body in bench.pool)
    ):
        files = "image files" if kind == "image" else ".txt files in UTF-8"
        return f"{server} takes what --input of {files} sends as the body, nothing else: give that"
    if (state := environment_of(server).state) != WHOLE:
        return f"its environment is {state}: run `python -m mps.servers add {server}`"
    return None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def servers_told(plan: Plan) -> dict[str, dict[str, str]]:
    """The plan's servers but for TorchServe, which is among the versions, as environment.json has them: each
    one's package, and the hash of its pins."""
    return {
        server: {"package": package_of(server), "pins_sha256": ingredients(server)["pins_sha256"]}
        for server in dict.fromkeys(plan.server)
        if server != TORCHSERVE
    }
