"""An engine's name -> the model that it runs. Only the engine that is asked for is imported."""

from importlib import import_module
from pathlib import Path
from typing import Any

from handlers.engine.graph import Graph, GraphModel
from handlers.engine.names import EngineError, file_of, why_no_file, why_no_such_precision, why_not_installed

MODULES = {"onnxruntime": "handlers.engine.onnx_runtime", "openvino": "handlers.engine.open_vino"}


def read_graph(folder: Path, engine: str, precision: str, threads: int, config: Any) -> GraphModel:
    """The archive's model for `engine` (onnxruntime or openvino), on so many threads, with `config`.

    Raises EngineError where the engine, its file or its arithmetic is missing, or it can't read the file.
    """
    held = {path.name for path in folder.iterdir()}
    if why := why_no_such_precision(engine, precision) or why_no_file(engine, precision, held):
        raise EngineError(f"handler.engine: {why}")
    if why := why_not_installed(engine):
        raise EngineError(f"handler.engine: {why}")
    file = folder / str(file_of(engine, precision))
    try:
        graph: Graph = import_module(MODULES[engine]).read(file, precision, threads)
    except EngineError:
        raise
    except Exception as error:  # engines have errors of their own, derived from anything
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EngineError(
            f"handler.engine: {engine} can't run {file.name}: {told}. make mar ENGINE={engine} makes it anew"
        ) from error
    return GraphModel(graph, config)
