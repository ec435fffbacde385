"""Whether the torch that is installed can use a card."""

from experiments.base.torch_build import torch_build
from mps.card import Gpu, cuda_of_driver, is_stood_in_for
from mps.card.builds import misfit


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
