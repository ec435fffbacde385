"""The engines that a plan may ask for, each with the precisions that it has; pure."""

from collections.abc import Iterable, Sequence

from experiments.base.errors import UsageError

OF_TORCH = ("fp32", "tf32", "fp16", "bf16")
# What handlers/engine knows. Nothing runs on tensorrt here: what is said of it is said with the archive.
ENGINES = {
    "torch": OF_TORCH,
    "torch-compile": OF_TORCH,
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16"),
    "tensorrt": OF_TORCH,
}
PRECISIONS = (*OF_TORCH, "int8")

Pair = tuple[str | None, str | None]
"""An engine and a precision; None is the archive's."""


def pairs(engines: Iterable[str | None], precisions: Iterable[str | None]) -> list[Pair]:
    """Each engine with those of the precisions that it has, in this order."""
    asked = list(dict.fromkeys(precisions))
    return [
        (engine, precision)
        for engine in dict.fromkeys(engines)
        for precision in asked
        if engine is None or precision is None or precision in ENGINES[engine]
    ]


def check_pairs(engines: Sequence[str | None], precisions: Sequence[str | None]) -> None:
    """Raises UsageError for an unknown name, and for one that none of the others can be had with."""
    for option, given, known in (("engine", engines, ENGINES), ("precision", precisions, PRECISIONS)):
        if not given:
            raise UsageError(f"--{option} needs at least one value")
        for name in given:
            if name is not None and name not in known:
                raise UsageError(f"--{option} must be one of {', '.join(known)}, not {name!r}")
    found = pairs(engines, precisions)
    for engine in engines:
        if engine is not None and all(engine != one for one, _ in found):
            raise UsageError(
                f"{engine} has none of these precisions: --precision {','.join(ENGINES[engine])}"
            )
    for precision in precisions:
        if all(precision != one for _, one in found):
            having = ",".join(name for name, known in ENGINES.items() if precision in known)
            raise UsageError(f"none of these engines has {precision}: --engine {having}")
