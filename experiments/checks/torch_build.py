"""The torch that is installed: its version and the CUDA it is built for, read without importing it."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mps.card import Gpu, cuda_of_driver, is_stood_in_for
from mps.card.builds import misfit


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """`cuda` is None for a build for CPUs alone."""

    version: str
    cuda: str | None

    def __str__(self) -> str:
        return f"torch {self.version} for {f'CUDA {self.cuda}' if self.cuda else 'CPUs'}"


def torch_build() -> TorchBuild | None:
    """What torch's own version.py tells; None where there is no torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    told = Path(spec.origin).with_name("version.py").read_text("utf-8")
    values = dict(re.findall(r"^(\w+)\b[^=\n]*= *'([^'\n]*)'", told, re.M))
    return TorchBuild(values.get("__version__", "of unknown version"), values.get("cuda"))


def torch_misfit(card: Gpu) -> str | None:
    """Why the torch that is here can't use that card, as cause and remedy; None where it can."""
    build = torch_build()
    if build is None or (build.cuda is None and is_stood_in_for()):  # the tests' card is one for no torch
        return None
    if build.cuda is None:
        return (
            f"torch {build.version} is built without CUDA, and can't use {card.name}: "
            "`make setup TORCH=default` (cu126 for drivers before 580)"
        )
    return misfit(build.cuda, card.driver, cuda_of_driver(), card.name, card.compute_capability)
