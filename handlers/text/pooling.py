"""The hidden states of a text's tokens -> one vector for the text, and the archive's file that says how.

Runs in the worker. What a checkpoint says of pooling is read on the host, by sentence_models.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

# In an archive: {"pooling": "mean", "cls" or null where the checkpoint doesn't say, "normalize": bool}
FILE = "pooling.json"


@dataclass(frozen=True, slots=True)
class Pooling:
    """`how`: mean (of the real tokens) or cls (the first token's); `normalize`: to length 1."""

    how: str
    normalize: bool

    def vectors(self, hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Hidden states, n x tokens x size, of which `real` (n x tokens; None: all) count -> n x size, fp32.

        Sums and lengths are those of fp32 whatever the model's precision: half precision would lose digits
        that the model has.
        """
        if self.how == "cls":
            pooled = hidden[:, 0].float()
        elif real is None:
            pooled = hidden.float().mean(1)
        else:
            weights = real.float()[:, :, None]
            pooled = (hidden.float() * weights).sum(1) / weights.sum(1)
        return F.normalize(pooled, dim=-1) if self.normalize else pooled


def write_pooling(folder: Path, how: str | None, normalize: bool) -> None:
    """Note in the archive's folder what the checkpoint says."""
    (folder / FILE).write_text(json.dumps({"pooling": how, "normalize": normalize}) + "\n", "utf-8")


def read_pooling(folder: Path, otherwise: str) -> Pooling:
    """What the archive's checkpoint says, and `otherwise` where it says nothing."""
    noted = json.loads((folder / FILE).read_text("utf-8"))
    return Pooling(noted["pooling"] or otherwise, noted["normalize"])
