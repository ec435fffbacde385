"""Which build of torch runs under which driver and on which card."""

import re

import pytest

from mps.card.builds import build_for, misfit


@pytest.mark.parametrize(
    ("driver", "capabilities", "build"),
    [
        (None, [], "cpu"),
        ("580.159.04", [(9, 0)], "default"),
        ("580.159.04", [(7, 0)], "cu126"),  # a V100: CUDA 13 dropped what is before Turing
        ("535.261.03", [(7, 5)], "cu126"),
        ("570.86.10", [(12, 0)], "default"),  # Blackwell has no kernels in cu126: its driver must be upgraded
        ("580.159.04", [(6, 1), (8, 9)], "default"),
        ("580.159.04", [], "default"),
    ],
)
def test_the_build_that_setup_takes(
    driver: str | None, capabilities: list[tuple[int, int]], build: str
) -> None:
    assert build_for(driver, capabilities) == build


@pytest.mark.parametrize(
    ("cuda", "driver", "driver_cuda", "name", "capability", "said"),
    [
        ("13.0", "535.261.03", 12020, "Tesla T4", (7, 5), "goes up to CUDA 12.2: `make setup TORCH=cu126`"),
        ("13.0", "570.86.10", 12080, "NVIDIA B200", (10, 0), "CUDA 12.8: upgrade NVIDIA's driver to 580"),
        ("13.0", "470.256.02", 11040, "Tesla T4", (7, 5), "CUDA 11.4: upgrade NVIDIA's driver to 580"),
        ("12.6", "470.256.02", 11040, "Tesla T4", (7, 5), "CUDA 11.4: upgrade NVIDIA's driver to 525"),
        ("13.0", "580.95.05", 13000, "Tesla V100", (7, 0), "no kernels .*7.0.*`make setup TORCH=cu126`"),
        ("12.6", "580.95.05", 13000, "NVIDIA B200", (10, 0), "no kernels .*`make setup TORCH=default`"),
        ("12.6", "580.95.05", 13000, "Tesla K80", (3, 7), "no kernels .*take a newer card"),
    ],
)
def test_what_does_not_fit_is_said_with_the_way_on(
    cuda: str, driver: str, driver_cuda: int, name: str, capability: tuple[int, int], said: str
) -> None:
    found = misfit(cuda, driver, driver_cuda, name, capability) or ""
    assert re.search(said, found), found


@pytest.mark.parametrize(
    ("cuda", "driver_cuda", "capability"),
    [
        ("13.2", 13000, (9, 0)),  # minor versions of one major version go together
        ("12.6", 13000, (9, 0)),
        ("12.6", 12020, (7, 0)),
        ("12.8", 12080, (12, 0)),
        ("13.0", None, (8, 7)),  # the driver does not tell
        ("13.0", 13000, (11, 0)),
    ],
)
def test_what_fits(cuda: str, driver_cuda: int | None, capability: tuple[int, int]) -> None:
    assert misfit(cuda, "580.95.05", driver_cuda, "a card", capability) is None
