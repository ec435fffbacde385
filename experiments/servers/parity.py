"""Whether servers say what the model says: their answers beside those of the handler run alone."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.owned import owned_folder
from experiments.servers.dialects import Input, Prediction, worst_difference
from experiments.servers.lives import PROGRAMS
from experiments.servers.served import Running
from experiments.serving.registration import MODEL
from experiments.serving.torchserve.archives import unpack
from experiments.serving.workers import worker_env

TOLERANCE = 1e-4
"""Of a probability or a vector, as a sweep has it for fp32 (experiments/answers/compare.py). In a batch of
BERT-base, whose products have other shapes, one was off by 8e-6."""
TIMEOUT_S = 600.0


class ParityError(ExperimentError):
    """A server's answers are not those of the model that it serves."""


def direct(archive: Path, texts: Sequence[Input], threads: int = 1) -> list[Prediction]:
    """What the handler of `archive` predicts for each text or image, one at a time, without a server.

    Raises UsageError for what is no archive, ExperimentError where the handler does not load or answer.
    """
    with owned_folder("direct-") as folder:
        unpack(archive, folder / "model")
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / "archived.py"), f"{folder}/model"],
            env=os.environ | worker_env(threads, None) | {"TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": ""},
            input=json.dumps([b64encode(one).decode() if isinstance(one, bytes) else one for one in texts]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    if done.returncode != 0:
        cause = (done.stderr.strip() or f"it ended with code {done.returncode}").splitlines()[-1]
        raise ExperimentError(f"{archive.name} can't be run without a server: {cause}", done.stderr)
    found: list[Prediction] = json.loads(done.stdout)
    return found


def check(
    server: Running,
    texts: Sequence[Input],
    right: Sequence[Prediction],
    model: str = MODEL,
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference of a probability, or of a vector's number relative to its length, from what is
    right, over texts asked one after the other.

    Raises ParityError beyond `tolerance`.
    """
    found = {n: [server.predict(text, model)] for n, text in enumerate(texts)}
    return judged(server, right, found, tolerance)


def judged(
    server: Running,
    right: Sequence[Prediction],
    answers: Mapping[int, Sequence[Prediction]],
    tolerance: float = TOLERANCE,
) -> float:
    """The same of answers that are there: those to each text, by its number in `right`."""
    pairs = [(right[number], answer) for number, given in answers.items() for answer in given]
    worst = worst_difference([one for one, _ in pairs], [other for _, other in pairs])
    if not worst <= tolerance:
        raise ParityError(
            f"{server.server} answers otherwise than its model: it is off by {worst:.2g}, where "
            f"{tolerance:g} is allowed: look at its log, and add it anew",
            server.log(),
        )
    return worst
