"""Host side: what a checkpoint says of how its hidden states become embeddings, or a clear refusal.

Reads the files that sentence-transformers writes beside a model; a checkpoint without them says nothing.
Which architectures qualify is said in sources.py. No torch: asking again takes no time.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handlers.archive.sources import CheckpointError
from handlers.model.settings import POOLINGS
from handlers.text.chain import ACTIVATIONS, Chain, Step

# sentence-transformers' older names for the modes of pooling, each a key that is true or false.
OLDER_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# Where it keeps the settings of its Transformer module: it takes the first of these that says anything.
TEXT_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

# What else may stand there: a key -> the values with which it changes nothing that we do.
WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",),
    "module_output_name": ("token_embeddings",),
    "modality_config": ({"text": {"method": "forward", "method_output_name": "last_hidden_state"}},),
    "unpad_inputs": (True,),
}
# Arguments for loading the model: which of them change nothing but speed and memory.
LOADING = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
LOADING_WITHOUT_EFFECT = {
    "add_pooling_layer",
    "attn_implementation",
    "dtype",
    "torch_dtype",
    "trust_remote_code",
}

SENTENCE = "sentence_embedding"  # what modules call the pooled vector


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sentence-transformers would make embeddings with a checkpoint. None: the checkpoint doesn't say."""

    chain: Chain = field(default_factory=Chain)
    max_tokens: int | None = None
    lower_case: bool = False


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a checkpoint. Raises CheckpointError for one that the embeddings handler can't follow."""
    modules = _modules(folder)
    path = str(modules[1].get("path")) if len(modules) > 1 else "1_Pooling"
    said = _pooling_file(folder / path / "config.json", required=len(modules) > 1)
    steps = tuple(_steps(folder, modules[2:])) if modules else (Step(),)
    prompt = _prompt(folder)
    if prompt and said.get("include_prompt", True) is False:
        raise CheckpointError(
            f"{folder} leaves its default prompt out of the pooling, which the embedding handler doesn't: "
            "set default_prompt_name to null in config_sentence_transformers.json, let clients send no prompt"
        )
    max_tokens, lower_case = _limits(folder)
    pooling = _modes(folder / path / "config.json", said) if said or len(modules) > 1 else None
    return Recipe(Chain(pooling, steps, prompt), max_tokens, lower_case)


def dense_weights(folder: Path, step: Step) -> Path:
    """Where a checkpoint keeps the weights of a dense step."""
    return folder / step.weights.removesuffix(".safetensors") / "model.safetensors"


def _modules(folder: Path) -> list[dict[str, Any]]:
    """The modules in order, none of them unknown; an empty list where there is no such file."""
    path = folder / "modules.json"
    modules = _read(path, [])
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{path} is not a list of modules")
    kinds = [_kind(module) for module in modules]
    if modules and (kinds[:1] != ["Transformer"] or not _can_follow(kinds[1:])):
        raise CheckpointError(
            f"{folder} chains {', '.join(kinds)}; the embedding handler serves Transformer, Pooling, "
            "and after them Dense and Normalize in any order"
        )
    for module, kind in zip(modules, kinds, strict=True):
        where = str(module.get("path", ""))
        if kind == "Transformer" and where not in ("", "."):
            raise CheckpointError(
                f"{path} keeps the Transformer in {where}/, not beside it: load and save the model with "
                "sentence-transformers as it is today"
            )
        if "/" in where or ".." in where:
            raise CheckpointError(f"{path}: a module's path must be the name of a folder, not {where}")
    return modules


def _kind(module: dict[str, Any]) -> str:
    """By the last part of its type, as the packages before it have changed between versions; in full for one
    that isn't sentence-transformers' own."""
    told = str(module.get("type"))
    return told.rpartition(".")[2] if told.startswith("sentence_transformers.") else told


def _can_follow(kinds: list[str]) -> bool:
    return not kinds or (kinds[0] == "Pooling" and set(kinds[1:]) <= {"Dense", "Normalize"})


def _pooling_file(path: Path, *, required: bool) -> dict[str, Any]:
    if required and not path.is_file():
        raise CheckpointError(
            f"{path.parent.parent / 'modules.json'} names a pooling, but there is no {path}"
        )
    said: dict[str, Any] = _read(path, {})
    return said


def _modes(path: Path, said: dict[str, Any]) -> tuple[str, ...]:
    modes = said.get("pooling_mode") or [key for key in OLDER_POOLINGS if said.get(key)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    modes += [
        key for key in said if key.startswith("pooling_mode_") and key not in OLDER_POOLINGS and said[key]
    ]
    modes = [OLDER_POOLINGS.get(mode, mode) for mode in modes]
    if not modes or not set(modes) <= set(POOLINGS):
        raise CheckpointError(
            f"{path} asks for {', '.join(map(str, modes)) or 'no pooling'}; "
            f"the embedding handler has {', '.join(POOLINGS)}"
        )
    return tuple(modes)


def _steps(folder: Path, modules: list[dict[str, Any]]) -> Iterator[Step]:
    """What follows the pooling."""
    for module in modules:
        path = folder / str(module.get("path")) / "config.json"
        said = _read(path, {})
        for key in ("module_input_name", "module_output_name"):
            if said.get(key) not in (None, SENTENCE):
                raise CheckpointError(f"{path}: {key} is {said[key]}; the embedding handler knows {SENTENCE}")
        yield Step() if _kind(module) == "Normalize" else _dense(folder, path, said)


def _dense(folder: Path, path: Path, said: dict[str, Any]) -> Step:
    told = str(said.get("activation_function", "torch.nn.Tanh"))
    activation = told.rpartition(".")[2]
    if not told.startswith("torch.nn.") or activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{path} asks for the activation {told}; the embedding handler has torch.nn's "
            f"{', '.join(ACTIVATIONS)}"
        )
    if said.get("use_residual"):
        raise CheckpointError(f"{path} asks for use_residual, which the embedding handler doesn't know")
    step = Step("dense", f"{path.parent.name}.safetensors", activation)
    if not dense_weights(folder, step).is_file():
        raise CheckpointError(
            f"{path.parent} holds no model.safetensors: load the model where you trust it, and save it, "
            "with sentence-transformers"
        )
    return step


def _prompt(folder: Path) -> str:
    """What goes before each text unless the client is asked for another prompt."""
    path = folder / "config_sentence_transformers.json"
    said = _read(path, {})
    if said.get("model_type") not in (None, "SentenceTransformer"):
        raise CheckpointError(
            f"{folder} is a {said['model_type']}; the embedding handler serves sentence models"
        )
    name, prompts = said.get("default_prompt_name"), said.get("prompts") or {}
    if name is None:
        return ""
    if not isinstance(prompts, dict) or not isinstance(prompts.get(name), str):
        raise CheckpointError(
            f"{path} has no prompt {name}, its default_prompt_name: add it to prompts, or set that to null"
        )
    return str(prompts[name])


def _limits(folder: Path) -> tuple[int | None, bool]:
    """The most tokens of a text, and whether it is put in lower case first."""
    for path in (folder / name for name in TEXT_FILES):
        if said := _read(path, {}):
            break
    else:
        return None, False
    for key, value in said.items():
        if key not in ("max_seq_length", "do_lower_case") and not _has_no_effect(key, value):
            raise CheckpointError(f"{path} asks for {key}: {value}; the embedding handler doesn't know that")
    most = said.get("max_seq_length")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 3):
        raise CheckpointError(f"{path}: max_seq_length is {most}: give a whole number of tokens, 3 or more")
    return most, bool(said.get("do_lower_case"))


def _has_no_effect(key: str, value: Any) -> bool:
    if not value:
        return True
    if key in LOADING:
        return isinstance(value, dict) and set(value) <= LOADING_WITHOUT_EFFECT
    return value in WITHOUT_EFFECT.get(key, ())


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
