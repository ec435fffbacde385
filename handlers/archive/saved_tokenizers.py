"""Host side: a checkpoint's tokenizer, as the worker shall load it: the very same one, or a refusal."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import transformers

from handlers.archive.sources import CheckpointError, first_line

# Local files, no code from the checkpoint.
LOCAL = {"local_files_only": True, "trust_remote_code": False}


def tokenizer_for(model: Any, source: Path) -> Any:
    """The tokenizer of a checkpoint's folder. Raises CheckpointError where the worker couldn't use it."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **LOCAL)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(f"{source} has no usable tokenizer: {first_line(error)}") from error
    if getattr(tokenizer, "backend_tokenizer", None) is None or tokenizer.pad_token_id is None:
        lacks = "padding token" if tokenizer.is_fast else "tokenizer.json"
        raise CheckpointError(f"{source}: its tokenizer has no {lacks}: save it anew with transformers 5")
    if len(tokenizer) > model.config.vocab_size:
        raise CheckpointError(
            f"{source}: its tokenizer knows {len(tokenizer)} tokens, its model {model.config.vocab_size}: "
            "they don't belong together"
        )
    return tokenizer


def lower_case_first(tokenizer: Any) -> None:
    """Before whatever else the tokenizer makes of a text."""
    steps = [tokenizers.normalizers.Lowercase(), tokenizer.normalizer]
    tokenizer.normalizer = tokenizers.normalizers.Sequence([step for step in steps if step is not None])


def save_tokenizer(tokenizer: Any, source: Path, folder: Path) -> None:
    """Save it so that the worker loads the same one, or raise CheckpointError.

    The classes of some families make parts of it anew when they are loaded: what was changed in there, such
    as the lower case, is lost then. Saved as one of no family it is loaded as it is.
    """
    tokenizer.save_pretrained(folder)
    if not _is_saved(tokenizer, folder):
        _of_no_family(tokenizer).save_pretrained(folder)
        if not _is_saved(tokenizer, folder):
            raise CheckpointError(
                f"{source}: its tokenizer, a {type(tokenizer).__name__}, is another one once saved: "
                "save it beside the model as a PreTrainedTokenizerFast"
            )


def _is_saved(tokenizer: Any, folder: Path) -> bool:
    loaded = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
    return bool(_told(loaded) == _told(tokenizer))


def _told(tokenizer: Any) -> Any:
    """All that the worker uses of a tokenizer; how it cuts and pads is set there."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    model = backend["model"]
    if isinstance(model.get("vocab"), list):  # pieces with scores, whose last digit gets lost on the way
        model["vocab"] = [(piece, round(score, 6)) for piece, score in model["vocab"]]
    limits = (tokenizer.model_max_length, tokenizer.pad_token_id, tokenizer.truncation_side)
    return backend, limits, sorted(tokenizer.model_input_names)


def _of_no_family(tokenizer: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )
