"""Whether the cards of a cluster are alike, in kind and libraries: else their cells can't be compared."""

from collections.abc import Mapping
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.cluster.messages import Hello

SAME = ("torch_cuda", "cuda_packages", "engines", "python", "java", "nvml", "git_commit")


def kind_of(hello: Hello) -> str:
    """The kind of a card, in words: a GPU's model and memory, or how many cores of which CPU."""
    if hello.gpu is not None:
        size = f", {hello.gpu.memory_bytes / 2**30:.0f} GiB" if hello.gpu.memory_bytes else ""
        return f"{hello.gpu.name}{size}"
    cpu = hello.environment["cpu"]
    return f"{cpu['cores']} core{'s' if cpu['cores'] != 1 else ''} of {cpu['model'] or 'an unknown CPU'}"


def refuse_unlike(hellos: Mapping[str, Hello], who: str = "the cards") -> str:
    """The kind of all of them. Raises ExperimentError for the first two that differ in it, in a library or in
    the commit of this project."""
    cards = iter(hellos.items())
    first, one = next(cards)
    for card, other in cards:
        for what, this, that in _compared(one, other):
            if this != that:
                raise ExperimentError(
                    f"{who} differ, {what}: {this} on {first}, {that} on {card}; make them alike, or "
                    "leave that node out of the cluster"
                )
    return kind_of(one)


def _compared(one: Hello, other: Hello) -> list[tuple[str, Any, Any]]:
    mine, its = one.environment, other.environment
    versions = [(name, found, its["versions"].get(name)) for name, found in mine["versions"].items()]
    drivers = [("driver", one.gpu.driver, other.gpu.driver)] if one.gpu and other.gpu else []
    own = [(name, mine.get(name), its.get(name)) for name in SAME]
    return [("kind", kind_of(one), kind_of(other)), *drivers, *versions, *own]
