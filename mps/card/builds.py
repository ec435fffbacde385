"""Which builds of torch run under which driver and on which card.

Only the standard library is imported: `make setup` reads this file before anything is installed
(scripts/torch_build.py).
"""

# The driver that a major version of CUDA needs. Within a major version older drivers run newer minor ones:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
DRIVER_OF_CUDA = {12: 525, 13: 580}

# The compute capabilities that torch's builds for a version of CUDA hold kernels for, the least and the most:
# pytorch/pytorch issues 182849 (the matrix of release 2.12) and 190385 (CUDA 13 begins with Turing).
KERNELS: dict[str, tuple[tuple[int, int], tuple[int, int] | None]] = {
    "12.6": ((5, 0), (9, 0)),
    "13": ((7, 5), None),
}

CPU, LEGACY, DEFAULT_BUILD = "cpu", "cu126", "default"


def misfit(
    cuda: str, driver: str, driver_cuda: int | None, name: str, capability: tuple[int, int]
) -> str | None:
    """Why torch built for `cuda` ("13.0") can't use a card, as cause and remedy; None where it can.

    `driver_cuda` is what NVML says the driver is capable of (12080 for 12.8), None where it doesn't tell.
    """
    major = int(cuda.split(".")[0])
    dotted = f"{capability[0]}.{capability[1]}"
    if driver_cuda is not None and driver_cuda // 1000 < major:
        its_cuda = f"{driver_cuda // 1000}.{driver_cuda % 1000 // 10}"
        return (
            f"torch is built for CUDA {cuda}, driver {driver} goes up to CUDA {its_cuda}: "
            f"{_remedy_for_driver(major, driver_cuda, capability)}"
        )
    least, most = KERNELS.get(cuda) or KERNELS.get(str(major), ((0, 0), None))
    if capability < least:
        legacy_least, _ = KERNELS["12.6"]
        way_on = f"`make setup TORCH={LEGACY}`" if legacy_least <= capability else "take a newer card"
        return f"torch for CUDA {cuda} has no kernels for {name} (compute capability {dotted}): {way_on}"
    if most and capability > most and capability[0] > most[0]:
        return (
            f"torch for CUDA {cuda} has no kernels for {name} (compute capability {dotted}): "
            f"`make setup TORCH={DEFAULT_BUILD}`, with driver {DRIVER_OF_CUDA[13]} or newer"
        )
    return None


def build_for(driver: str | None, capabilities: list[tuple[int, int]]) -> str:
    """The build that `make setup` takes: 'cpu' without a driver, 'cu126' where the default one would not run.

    Cards after Hopper have no kernels in 'cu126', whatever their driver.
    """
    if driver is None:
        return CPU
    newest = max(capabilities, default=(8, 0))
    if newest[0] > 9:
        return DEFAULT_BUILD
    first = driver.split(".")[0]
    too_old = first.isdigit() and int(first) < DRIVER_OF_CUDA[13]
    return LEGACY if too_old or newest < KERNELS["13"][0] else DEFAULT_BUILD


def _remedy_for_driver(major: int, driver_cuda: int, capability: tuple[int, int]) -> str:
    upgrade = f"upgrade NVIDIA's driver to {DRIVER_OF_CUDA.get(major, DRIVER_OF_CUDA[13])} or newer"
    (least, most) = KERNELS["12.6"]
    fits_legacy = capability >= least and most is not None and capability[0] <= most[0]
    if major > 12 and driver_cuda // 1000 >= 12 and fits_legacy:
        return f"`make setup TORCH={LEGACY}`, or {upgrade}"
    return upgrade
