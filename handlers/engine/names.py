"""The engines by name: what each needs of an archive and of a machine, and which precisions it has.

Names only: neither torch nor an engine is imported here, so that plans and archives can be checked at once.
"""

from collections.abc import Collection
from importlib.util import find_spec

TORCH = "torch"
TORCH_COMPILE = "torch-compile"
TENSORRT = "tensorrt"

# Those that read the model from a file -> the Python package of each.
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}

ENGINES = (TORCH, TORCH_COMPILE, *PACKAGES, TENSORRT)

PRECISIONS = {"onnxruntime": ("fp32", "int8"), "openvino": ("fp32", "bf16")}
OF_TORCH = ("fp32", "tf32", "fp16", "bf16")

MODEL = "model.onnx"
QUANTISED = "model.int8.onnx"

NO_TENSORRT = (
    "tensorrt needs an NVIDIA GPU, and a model built on that very GPU, which our archives don't hold: "
    f"choose one of {', '.join((TORCH, TORCH_COMPILE, *PACKAGES))}"
)


class EngineError(ValueError):
    """An engine that can't run what it is asked for: one line with the cause and the remedy."""


def file_of(engine: str, precision: str) -> str | None:
    """What an archive must hold for `engine`; None where the checkpoint itself is enough."""
    if engine not in PACKAGES:
        return None
    return QUANTISED if precision == "int8" else MODEL


def why_no_such_precision(engine: str, precision: str) -> str | None:
    """Why `engine` can't calculate in `precision`, with the remedy; None where it can."""
    if precision in (known := PRECISIONS.get(engine, OF_TORCH)):
        return None
    return f"{engine} has no {precision}: choose one of {', '.join(known)}"


def why_not_installed(engine: str) -> str | None:
    """Why this Python has no `engine`, with the remedy; None where it has, and for torch, which all have."""
    if engine == TENSORRT:
        return NO_TENSORRT
    if engine not in PACKAGES or find_spec(PACKAGES[engine]):
        return None
    return f"{engine} is not installed in this Python: make setup ENGINES={engine}"


def why_no_file(engine: str, precision: str, held: Collection[str]) -> str | None:
    """Why an archive with the files `held` can't serve with `engine`; None where it can."""
    wanted = file_of(engine, precision)
    if wanted is None or wanted in held:
        return None
    more = " PRECISION=int8" if precision == "int8" else ""
    return f"the archive holds no {wanted}, which {engine} needs: make mar ENGINE={engine}{more}"
