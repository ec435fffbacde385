"""ONNX Runtime on a CPU."""

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from handlers.engine.graph import Arrays, Graph
from handlers.engine.telemetry import turn_off

turn_off()
import onnxruntime  # noqa: E402

ERRORS_ONLY = 3


def read(file: Path, precision: str, threads: int) -> Graph:
    """The model of an ONNX file on so many threads. Its precision is the file's: fp32, or int8."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Between passes a thread that looks for work without sleeping takes a core from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    (output,) = (one.name for one in session.get_outputs())

    def run(arrays: Arrays) -> NDArray[np.float32]:
        return cast(NDArray[np.float32], session.run([output], dict(arrays))[0])

    return Graph(tuple(one.name for one in session.get_inputs()), output, run)
