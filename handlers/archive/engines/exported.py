"""Host side: the checkpoint of an archive -> the file that ONNX Runtime and OpenVINO read, in ONNX.

From the weights as they lie in the archive, with the short cuts that change no answer. Batch size and length
stay free. What the engines make of it: handlers/engine/.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.export import Dim
from transformers.utils import logging as transformers_logging

from handlers.archive.saved_tokenizers import LOCAL
from handlers.archive.sources import CheckpointError, first_line
from handlers.engine.names import MODEL, QUANTISED
from handlers.engine.telemetry import turn_off
from handlers.image.recipe import resolve
from handlers.model.families import PLAIN
from handlers.model.simplified import drop_pooler, fold_normalization, read_first_token_only
from handlers.text.chain import read_chain
from handlers.text.encoder import has_types

LARGEST_BYTES = 2_000_000_000  # of the weights: protobuf, of which an ONNX file is made, ends at 2 GiB
EXAMPLE = (2, 8)  # texts, tokens: any will do, but 1, which the exporter would take for a constant

AUTO_CLASSES = {
    "text": transformers.AutoModelForSequenceClassification,
    "image": transformers.ResNetForImageClassification,
    "embedding": transformers.AutoModel,
}


def export(kind: str, folder: Path, *, int8: bool = False) -> None:
    """Write MODEL, and its int8 form as QUANTISED, beside the checkpoint of an archive in `folder`.

    Takes some 20 s for BERT-base. Raises CheckpointError for a model that is too large, or that torch can't
    export.
    """
    transformers_logging.disable_progress_bar()
    model = AUTO_CLASSES[kind].from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **LOCAL)
    model.requires_grad_(False).eval()
    size = sum(weights.nbytes for weights in model.parameters())
    if size > LARGEST_BYTES:
        raise CheckpointError(
            f"{size / 1e9:.1f} GB of weights are more than an ONNX file holds (2 GB): serve it with torch"
        )
    exported = _image(model, folder) if kind == "image" else _encoder(model, kind, folder)
    try:
        _write(*exported, folder / MODEL)
    except Exception as error:  # the exporter's errors have many types
        raise CheckpointError(
            f"torch can't export {model.config.model_type} to ONNX: {first_line(error)}. Serve it with torch"
        ) from error
    if int8:
        quantise(folder / MODEL, folder / QUANTISED)


def quantise(source: Path, target: Path) -> None:
    """The matrices of an ONNX file as 8-bit whole numbers, a scale for each column; what they are multiplied
    by is rounded to 8 bits when it is known, batch by batch."""
    turn_off()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it advises steps that it does not need
    quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)


Exported = tuple[nn.Module, dict[str, torch.Tensor], dict[int, Any], str]


class _Encoder(nn.Module):
    """Called with positions as an exported model is, it calls transformers' model with names."""

    def __init__(self, model: Any, names: Sequence[str], output: str) -> None:
        super().__init__()
        self.model, self.names, self.output = model, names, output
        self.plain = model.config.model_type in PLAIN

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        named = dict(zip(self.names, tensors, strict=True))
        if not self.plain:  # the four dimensions that attention wants, as encoder.py gives them
            named["attention_mask"] = named["attention_mask"].bool()[:, None, None, :]
        found: torch.Tensor = getattr(self.model(**named), self.output)
        return found


def _encoder(model: Any, kind: str, folder: Path) -> Exported:
    """With the short cuts of its handler. Where the checkpoint leaves open how vectors are pooled, all tokens
    come out: model-config.yaml may ask for any."""
    config = model.config
    if config.model_type not in PLAIN:
        if kind == "embedding":
            drop_pooler(model)
        if kind == "text" or read_chain(folder).pooling == ("cls",):
            read_first_token_only(model)
    names = ["input_ids", "attention_mask"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
    if has_types(tokenizer, config):
        names.append("token_type_ids")
    ids = torch.full(EXAMPLE, tokenizer.pad_token_id + 1)
    of_input = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": ids * 0}
    output = "logits" if kind == "text" else "last_hidden_state"
    examples = {name: of_input[name] for name in names}
    return _Encoder(model, names, output), examples, {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, output


class _Classifier(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(pixel_values=pixels).logits
        return logits


def _image(model: Any, folder: Path) -> Exported:
    """Of the one size that the recipe cuts pictures to."""
    fold_normalization(model)
    recipe = resolve(json.loads((folder / "preprocessor_config.json").read_text("utf-8")))
    pixels = torch.zeros(EXAMPLE[0], 3, *recipe.shape)
    return _Classifier(model), {"pixel_values": pixels}, {0: Dim.DYNAMIC}, "logits"


def _write(
    module: nn.Module, examples: dict[str, torch.Tensor], free: dict[int, Any], output: str, file: Path
) -> None:
    """In one file, weights included. `free`: the dimensions of each input that may be of any size."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing
        torch.onnx.export(
            module.eval(),
            tuple(examples.values()),
            file,
            input_names=list(examples),
            output_names=[output],
            dynamic_shapes=((free,) * len(examples),) if len(examples) > 1 else (free,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
