"""What an archive says of the way from a text to its vector: its file, and the values in it.

Without torch: written on the host, from what sentence_models.py read there; run in the worker by pooling.py.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

# In an archive: a Chain.
FILE = "pooling.json"

# What may follow the linear layer of a dense step, by the names of torch.nn's classes.
ACTIVATIONS = ("ELU", "GELU", "Identity", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Tanh")


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to a pooled vector. `kind`: normalize (to length 1), or dense: a linear layer, whose
    weights are in the archive's file `weights`, and an activation behind it."""

    kind: str = "normalize"
    weights: str = ""
    activation: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """From a text to its vector: `prompt` goes before the text, `pooling` names the modes whose vectors are
    laid end to end (None: the checkpoint doesn't say), `steps` follow in order."""

    pooling: tuple[str, ...] | None = None
    steps: tuple[Step, ...] = (Step(),)
    prompt: str = ""


def write_chain(folder: Path, chain: Chain) -> None:
    """Note in the archive's folder what the checkpoint says."""
    (folder / FILE).write_text(json.dumps(asdict(chain)) + "\n", "utf-8")


def read_chain(folder: Path) -> Chain:
    """What was noted there."""
    noted = json.loads((folder / FILE).read_text("utf-8"))
    pooling, steps = noted["pooling"], noted["steps"]
    return Chain(pooling and tuple(pooling), tuple(Step(**step) for step in steps), noted["prompt"])
