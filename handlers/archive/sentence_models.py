"""Host side: what a checkpoint says of how its hidden states become embeddings, or a clear refusal.

Reads the files that sentence-transformers writes beside a model; a checkpoint without them says nothing.
Which architectures qualify is said in sources.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.archive.sources import CheckpointError

# Modules by the last part of their type: the packages before it have changed between versions.
SERVED = (["Transformer"], ["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])

# sentence-transformers' names for poolings that the handler knows, old and new.
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "mean": "mean", "cls": "cls"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sentence-transformers would make embeddings with a checkpoint. None: the checkpoint doesn't say."""

    pooling: str | None = None
    normalize: bool = True
    max_tokens: int | None = None
    lower_case: bool = False


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a checkpoint. Raises CheckpointError for one that the embeddings handler can't follow."""
    modules = _modules(folder)
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if modules and kinds not in SERVED:
        raise CheckpointError(
            f"{folder} chains {', '.join(kinds)}; the embedding handler serves {', '.join(SERVED[-1])}"
        )
    if _read(folder / "config_sentence_transformers.json", {}).get("default_prompt_name"):
        raise CheckpointError(
            f"{folder} puts a default prompt before each text, which the embedding handler doesn't: "
            "let clients send it, and set default_prompt_name to null in config_sentence_transformers.json"
        )
    path = str(modules[1].get("path")) if len(modules) > 1 else "1_Pooling"
    pooling = _pooling(folder, folder / path / "config.json", required=len(modules) > 1)
    texts = _read(folder / "sentence_bert_config.json", {})
    return Recipe(
        pooling,
        "Normalize" in kinds or not modules,
        texts.get("max_seq_length"),
        bool(texts.get("do_lower_case")),
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    modules = _read(folder / "modules.json", [])
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{folder / 'modules.json'} is not a list of modules")
    return modules


def _pooling(folder: Path, path: Path, *, required: bool) -> str | None:
    if not path.is_file():
        if required:
            raise CheckpointError(f"{folder / 'modules.json'} names a pooling, but there is no {path}")
        return None
    said = _read(path, {})
    modes = said.get("pooling_mode") or [key for key in said if key.startswith("pooling_mode_") and said[key]]
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise CheckpointError(
            f"{path} asks for {', '.join(modes) or 'no pooling'}; the embedding handler has mean and cls"
        )
    return POOLINGS[modes[0]]


def _read(path: Path, default: Any) -> Any:
    """Parsed JSON of the default's type; the default where there is no such file."""
    if not path.is_file():
        return default
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(found, type(default)):
        raise CheckpointError(f"{path} should hold a JSON {'list' if default == [] else 'object'}")
    return found
