"""Host side: what the user calls a checkpoint -> a local folder that a handler can serve, or a clear refusal.

Looks at names and config.json only, so that it answers at once: no torch, no weights (checkpoints.py).
"""

import json
import re
from pathlib import Path
from typing import Any

from handlers.model.families import PLAIN, TUNED

# Encoders that BertHandler and EmbeddingsHandler can serve.
TEXT_TYPES = (*TUNED, *PLAIN)
IMAGE_TYPES = ("resnet",)

# How the architectures that a kind of handler serves may end.
ARCHITECTURES = {
    "text": ("ForSequenceClassification",),
    "image": ("ResNetForImageClassification",),
    "embedding": ("Model", "ForMaskedLM", "ForPreTraining"),
}

# One of these holds a tokenizer's vocabulary. Without any, transformers makes up an empty one.
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")

# What is fetched of a hub repository: weights without pickle, configuration, vocabulary. No code.
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model"]


class CheckpointError(Exception):
    """A checkpoint that is not there or can't be served: one line with the cause and the remedy."""


def locate(source: str) -> Path:
    """A folder, or the id of a repository on the model hub, which is fetched -> the local folder.

    Raises CheckpointError.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{source} is a file: give the folder that holds config.json and *.safetensors")
    if not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", source):
        raise CheckpointError(f"no such folder: {source}. Give a checkpoint's folder or a model hub id")
    return _fetch(source)


def check(folder: Path, kind: str) -> str:
    """Make sure that the handler of `kind` (text, image, embedding) can serve it -> its architecture.

    Raises CheckpointError.
    """
    config = _config(folder)
    architecture = str((config.get("architectures") or ["no architecture"])[0])
    types = IMAGE_TYPES if kind == "image" else TEXT_TYPES
    wanted = ARCHITECTURES[kind]
    if config.get("model_type") not in types or not architecture.endswith(wanted):
        raise CheckpointError(
            f"{folder} is of type {config.get('model_type')} with {architecture}; "
            f"the {kind} handler serves *{' or *'.join(wanted)} of type {', '.join(types)}"
        )
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised
        raise CheckpointError(
            f"{folder} is quantised ({method}), which the handlers can't serve: save the model in full "
            "precision; handler.precision makes it fp16 or bf16 at load"
        )
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} holds no *.safetensors: convert it where you trust it, "
            f"with transformers' from_pretrained() and save_pretrained()"
        )
    if kind != "image" and not any(list(folder.glob(pattern)) for pattern in VOCABULARIES):
        raise CheckpointError(
            f"{folder} holds no tokenizer ({', '.join(VOCABULARIES)}): save the tokenizer beside the model"
        )
    return architecture


def how_served(folder: Path) -> str:
    """What to tell of a checkpoint that `check` let pass: "" where it is served with all short cuts."""
    family = str(_config(folder).get("model_type"))
    return f"{family} is served plain, as transformers has it, without short cuts" if family in PLAIN else ""


def first_line(error: Exception) -> str:
    """Of what an error says: it goes into one of ours, which is one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no config.json: it is not a transformers checkpoint") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds no JSON object: it is not a transformers checkpoint")
    return config


def _fetch(hub_id: str) -> Path:
    """Fetch from the hub, or find in its local cache. Any failure there has one meaning for the user."""
    from huggingface_hub import snapshot_download  # slow to import, and most often not needed
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=HUB_FILES))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        raise CheckpointError(
            f"{hub_id} is no folder here and can't be fetched from the model hub ({type(error).__name__}): "
            "check the spelling and the connection, or give a folder"
        ) from error
