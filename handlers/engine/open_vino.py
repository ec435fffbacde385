"""OpenVINO on a CPU."""

from pathlib import Path
from typing import cast

import numpy as np
import openvino
from numpy.typing import NDArray

from handlers.engine.graph import Arrays, Graph
from handlers.engine.names import EngineError

DEVICE = "CPU"
HINTS = {"fp32": "f32", "bf16": "bf16"}


def read(file: Path, precision: str, threads: int) -> Graph:
    """The model of an ONNX file in `precision` (fp32 or bf16) on so many threads, for one pass at a time.

    Raises EngineError where this CPU has no such arithmetic: OpenVINO would take another.
    """
    core = openvino.Core()
    if precision == "bf16" and not has_bf16():
        raise EngineError("openvino finds no bf16 in this CPU: choose fp32")
    compiled = core.compile_model(
        core.read_model(file),
        DEVICE,
        {
            "INFERENCE_PRECISION_HINT": HINTS[precision],  # left alone, it takes bf16 where the CPU has it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # else the threads of all workers end up on the same cores
        },
    )
    request = compiled.create_infer_request()

    def run(arrays: Arrays) -> NDArray[np.float32]:
        return cast(NDArray[np.float32], request.infer(dict(arrays), share_inputs=True)[0])

    return Graph(tuple(one.any_name for one in compiled.inputs), compiled.outputs[0].any_name, run)


def has_bf16() -> bool:
    """Has this CPU instructions for bf16 that OpenVINO uses?"""
    return "BF16" in openvino.Core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
