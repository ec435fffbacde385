"""Which engines an archive is built for, beside torch, and what building it for them takes.

torch and the engines are imported only when there is something to export or to compare.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from handlers.archive.parity.inputs import our_texts
from handlers.archive.parity.measured import measured, note_parity, variants_of
from handlers.engine.names import (
    ENGINES,
    MODEL,
    NO_TENSORRT,
    PACKAGES,
    QUANTISED,
    TENSORRT,
    EngineError,
    why_not_installed,
)

TO_EXPORT = ("onnx", "onnxscript")  # what torch's exporter imports


@dataclass(frozen=True, slots=True)
class Engines:
    """`names`: those that read the model from a file, sorted; none where torch alone shall serve. `int8`: in
    8-bit whole numbers too. `accept_parity`: even where they differ from torch more than they should."""

    names: tuple[str, ...] = ()
    int8: bool = False
    accept_parity: bool = False

    @property
    def tools(self) -> tuple[str, ...]:
        """The packages whose versions leave traces in the archive."""
        return (*TO_EXPORT, *(PACKAGES[name] for name in self.names)) if self.names else ()


ONLY_TORCH = Engines()


def engines_of(text: str, *, int8: bool = False, accept_parity: bool = False) -> Engines:
    """'onnxruntime,openvino' as the user gives it -> Engines. Those of torch need nothing of an archive.

    Raises EngineError.
    """
    given = [name.strip() for name in text.split(",") if name.strip()]
    for name in given:
        if name not in ENGINES:
            known = ", ".join(one for one in ENGINES if one != TENSORRT)
            raise EngineError(f"there is no engine {name}: choose of {known}")
        if name == TENSORRT:
            raise EngineError(NO_TENSORRT)
    names = tuple(sorted(set(given) & set(PACKAGES)))
    if int8 and "onnxruntime" not in names:
        raise EngineError("int8 is for onnxruntime: make mar ENGINE=onnxruntime PRECISION=int8")
    return Engines(names, int8, accept_parity)


def why_missing(engines: Engines) -> str | None:
    """Why an archive can't be built for them here, with the remedy; None where it can."""
    for name in engines.names:
        if why := why_not_installed(name):
            return why
    missing = [tool for tool in engines.tools if not find_spec(tool)]
    if not missing:
        return None
    return f"{', '.join(missing)}: not installed in this Python: make setup ENGINES={','.join(engines.names)}"


def export_into(content: Path, kind: str, engines: Engines) -> None:
    """Write what they read beside the checkpoint in `content`. Raises CheckpointError."""
    if engines.names:
        from handlers.archive.engines.exported import export  # imports torch

        export(kind, content, int8=engines.int8)


def note_parity_of(archive: Path, kind: str, engines: Engines, corpus: Sequence[str], scratch: Path) -> None:
    """Compare them with torch over inputs of ours, and note it in the archive.

    Raises EngineError where one differs more than it should and that isn't accepted.
    """
    held = (MODEL, *((QUANTISED,) if engines.int8 else ()))
    if not (variants := variants_of(engines.names, held)):
        return
    texts = [] if kind == "image" else our_texts(corpus)
    found = measured(archive, kind, variants, texts, "ours", scratch)
    if not engines.accept_parity and (wrong := next((one for one in found if not one.within), None)):
        raise EngineError(f"{wrong}; --accept-parity (make mar ACCEPT_PARITY=1) takes it all the same")
    note_parity(archive, found)
