"""Run in a process of its own, whose environment holds it to a share of a GPU: what a handler answers there.

`python -m tests.support.answers_at_share text|image FOLDER PRECISION`: prints a line of JSON, `refused` with
the handler's reason, or `worst`, the largest difference of a probability's logarithm from the CPU's in fp32,
as a part of what these differ among themselves.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handlers.bert import BertHandler
from handlers.model.devices import DeviceError
from handlers.resnet50 import ResNet50Handler
from tests.support.worker import a_context

BATCHES = (1, 2, 4, 8)
LEAST = 1e-6  # a probability below is as good as none


def main(kind: Any, folder: Path, precision: str) -> dict[str, Any]:
    """Load the handler on GPU 0 as a worker does, and compare its answers."""
    reference = _handler(kind, folder, None, tuned=False)
    count = torch.cuda.get_device_properties(0).multi_processor_count
    started = time.perf_counter()
    try:
        handler = _handler(kind, folder, 0, precision=precision)
    except DeviceError as error:
        return {"multiprocessors": count, "refused": str(error)}
    load_s = time.perf_counter() - started
    images = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    texts = [" ".join(["good rain today"] * repeats) for repeats in (1, 3, 9, 27, 40, 40, 2, 12)]
    items: Any = texts if kind == "text" else list(images)
    worst = 0.0
    for size in BATCHES:
        expected, found = (
            one.forward(one.preprocess(items[:size])).clamp(min=LEAST).log() for one in (reference, handler)
        )
        off = (found - expected).abs().nan_to_num(nan=torch.inf).max()
        worst = max(worst, float(off / expected.std()))
    return {"multiprocessors": count, "worst": worst, "load_s": round(load_s, 2)}


def _handler(kind: Any, folder: Path, gpu_id: int | None, **settings: Any) -> Any:
    handler: Any = BertHandler() if kind == "text" else ResNet50Handler()
    handler.initialize(a_context(folder, kind, gpu_id, **settings))
    return handler


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
