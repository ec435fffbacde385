"""Which build of torch `make setup` installs here, as arguments for pip: by the driver and the cards.

    python scripts/torch_build.py [cpu|cu126|default]

Without an argument: the CPU build where there is no NVIDIA driver, CUDA 12.6 for drivers before 580 and cards
before Turing, else the one that PyPI has. It is asked before torch is there, by Python alone. An index that
can't be reached is passed over with a sentence: then PyPI's build is taken. What pip would keep although it
is another build is uninstalled first.
"""

import ctypes
import os
import re
import runpy
import subprocess
import sys
import urllib.request
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDS = runpy.run_path(str(ROOT / "mps" / "card" / "builds.py"))
CPU, LEGACY, DEFAULT = BUILDS["CPU"], BUILDS["LEGACY"], BUILDS["DEFAULT_BUILD"]
INDEX = os.environ.get(
    "TORCH_INDEX", "https://download.pytorch.org/whl"
)  # a mirror of it, where there is one
PROBE_S = 3.0
KERNEL_MODULE = Path("/proc/driver/nvidia/version")
LIBRARY = "libnvidia-ml.so.1"
Found = tuple[str | None, list[tuple[int, int]]]


def main() -> None:
    """Prints the arguments for pip. Exits with a line for a build that there is none of."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked not in ("", CPU, LEGACY, DEFAULT):
        sys.exit(f"setup: there is no TORCH={asked}: give {CPU}, {LEGACY} or {DEFAULT}")
    build = asked or choose()
    if build != DEFAULT and not reachable(f"{INDEX}/{build}/torch/"):
        say(f"{INDEX}/{build} can't be reached: the torch that pip's own index has is taken")
        return
    if asked or build != CPU:  # without a GPU any build that is there will do
        remove_other(build)
    if build != DEFAULT:
        print(f"--extra-index-url {INDEX}/{build}")


def choose() -> str:
    """The build for this machine."""
    if sys.platform != "linux":
        return str(DEFAULT)
    driver, capabilities = driver_here()
    build = str(BUILDS["build_for"](driver, capabilities))
    where = f"driver {driver}" if driver else "no NVIDIA driver"
    say(f"{where}: torch's build '{build}' (TORCH={CPU}, {LEGACY} or {DEFAULT} takes another)")
    return build


def driver_here() -> Found:
    """The driver's version, None without one, and the compute capabilities of the cards, as far as known."""
    for ask in (_nvml, _smi, _module):
        found = ask()
        if found[0] is not None:
            return found
    return None, []


def _nvml() -> Found:
    with suppress(OSError, AttributeError):
        nvml = ctypes.CDLL(LIBRARY)
        if nvml.nvmlInit_v2() != 0:
            return None, []
        text, count = ctypes.create_string_buffer(80), ctypes.c_uint()
        if nvml.nvmlSystemGetDriverVersion(text, 80) != 0:
            return None, []
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        capabilities = []
        for index in range(count.value):
            card, major, minor = ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
            numbers = ctypes.byref(major), ctypes.byref(minor)
            if (
                nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(card)) == 0
                and nvml.nvmlDeviceGetCudaComputeCapability(card, *numbers) == 0
            ):
                capabilities.append((major.value, minor.value))
        nvml.nvmlShutdown()
        return text.value.decode(), capabilities
    return None, []


def _smi() -> Found:
    """Where the library is not found by its name. Old ones don't know compute_cap, and fail."""
    command = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        lines = re.findall(r"^([\d.]+), *(\d+)\.(\d+)$", done.stdout, re.M) if done.returncode == 0 else []
        if lines:
            return lines[0][0], [(int(major), int(minor)) for _, major, minor in lines]
    return None, []


def _module() -> Found:
    """The kernel's module alone, as after an upgrade that waits for a restart."""
    with suppress(OSError):
        if found := re.search(r"Module.*?\s(\d+\.[\d.]+)", KERNEL_MODULE.read_text("utf-8")):
            return found[1], []
    return None, []


def reachable(url: str) -> bool:
    """Whether an index answers, within PROBE_S."""
    if not url.startswith(("http://", "https://")):
        return False
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - http alone
    with suppress(OSError, ValueError), urllib.request.urlopen(request, timeout=PROBE_S):  # noqa: S310
        return True
    return False


def remove_other(build: str) -> None:
    """Uninstalls a torch that is another build: pip takes it for the same version and would keep it."""
    try:
        local = version("torch").partition("+")[2]
    except PackageNotFoundError:
        return
    fits = local not in {CPU, LEGACY} if build == DEFAULT else local == build
    if not fits:
        say(f"the torch that is here is the build '{local or DEFAULT}': it is replaced")
        pip = [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", "torch"]
        subprocess.run(pip, check=True, stdout=sys.stderr)


def say(sentence: str) -> None:
    """To the user; what goes to stdout is for pip."""
    print(f"setup: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    main()
