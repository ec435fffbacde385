"""Host side: the weights. A checked folder, or a seed -> a folder with model.safetensors and its companions.

Which folders qualify is said in sources.py, how tokenizers are saved in saved_tokenizers.py, how all of it is
packed in archives.py. Never loads or writes pickle.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from handlers.archive.image_recipes import image_recipe_of
from handlers.archive.saved_tokenizers import LOCAL, lower_case_first, save_tokenizer, tokenizer_for
from handlers.archive.sentence_models import dense_weights, recipe_of
from handlers.archive.sources import CheckpointError, first_line
from handlers.archive.vocabulary import word_pieces, words_of
from handlers.text.chain import Chain, write_chain
from handlers.text.scores import PROBLEMS

# The recipe of the published ResNet50 checkpoints: shorter side to 256, 224 x 224 from the middle.
IMAGENET_RECIPE = {
    "image_processor_type": "ConvNextImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "crop_pct": 0.875,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def resave_text(source: Path, folder: Path) -> None:
    """Load a text classifier and its tokenizer, save what a worker needs. Raises CheckpointError."""
    model = _load(transformers.AutoModelForSequenceClassification, source)
    _check_problem(source, model.config)
    _check_reads_both_ways(source, model.config)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer_for(model, source), source, folder)


def resave_embedding(source: Path, folder: Path) -> None:
    """Load an encoder and its tokenizer, save what a worker needs. Raises CheckpointError.

    Its limit of tokens and its lower case, where sentence-transformers' files name them, become the
    tokenizer's own; how it pools goes to a file.
    """
    recipe = recipe_of(source)
    model = _load(transformers.AutoModel, source)
    _check_reads_both_ways(source, model.config)
    tokenizer = tokenizer_for(model, source)
    if recipe.max_tokens:
        tokenizer.model_max_length = recipe.max_tokens
    if recipe.lower_case:
        lower_case_first(tokenizer.backend_tokenizer)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, source, folder)
    write_chain(folder, recipe.chain)
    _resave_dense(source, folder, recipe.chain, model.config)


def resave_image(source: Path, folder: Path) -> None:
    """Load an image classifier, save what a worker needs. Raises CheckpointError.

    A checkpoint without a recipe gets that of the published ones.
    """
    recipe = image_recipe_of(source) or IMAGENET_RECIPE
    model = _load(transformers.ResNetForImageClassification, source)
    _check_labels(source, model.config)
    model.save_pretrained(folder)
    _write_recipe(folder, recipe)


def _resave_dense(source: Path, folder: Path, chain: Chain, config: Any) -> None:
    """Save the weights of each dense step under the name that the chain gives them. Raises CheckpointError
    where their sizes don't follow each other."""
    size = config.hidden_size * len(chain.pooling or ("",))
    for step in chain.steps:
        if step.kind == "dense":
            path = dense_weights(source, step)
            weights = _linear(path)
            if weights["weight"].shape[1] != size:
                inputs = weights["weight"].shape[1]
                raise CheckpointError(
                    f"{path} wants vectors of {inputs} numbers, what comes before gives {size}"
                )
            save_file(weights, folder / step.weights, {"format": "pt"})
            size = weights["weight"].shape[0]


def _linear(path: Path) -> dict[str, torch.Tensor]:
    """The weight of a linear layer, and its bias if it has one, in fp32."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} can't be loaded: {first_line(error)}") from error
    if "linear.weight" not in found or not set(found) <= {"linear.weight", "linear.bias"}:
        raise CheckpointError(f"{path} holds {', '.join(sorted(found)) or 'nothing'}, not one linear layer")
    return {name.removeprefix("linear."): tensor.float() for name, tensor in found.items()}


def random_text(folder: Path, config: Any, corpus: Iterable[str], seed: int) -> None:
    """Save a BERT classifier with random weights and a WordPiece tokenizer for `corpus`.

    `config` is a transformers.BertConfig; its vocabulary bounds the tokenizer's. The same seed and versions
    give the same weights, the same corpus the same tokenizer.
    """
    tokenizer_of(corpus, config).save_pretrained(folder)
    _save_seeded(transformers.BertForSequenceClassification, config, folder, seed)


def random_embedding(folder: Path, config: Any, corpus: Iterable[str], seed: int) -> None:
    """Save a BERT encoder with random weights, which says nothing of pooling, otherwise as `random_text`."""
    tokenizer_of(corpus, config).save_pretrained(folder)
    _save_seeded(transformers.BertModel, config, folder, seed)
    write_chain(folder, Chain())


def random_image(folder: Path, config: Any, seed: int, recipe: dict[str, Any] | None = None) -> None:
    """Save a ResNet classifier with random weights; `config` is a transformers.ResNetConfig."""
    _save_seeded(transformers.ResNetForImageClassification, config, folder, seed)
    _write_recipe(folder, recipe or IMAGENET_RECIPE)


def bert_base() -> Any:
    """BERT-base as published (12 layers of 768, 30522 tokens) with two labels."""
    labels = {0: "negative", 1: "positive"}
    return transformers.BertConfig(id2label=labels, label2id={name: i for i, name in labels.items()})


def minilm() -> Any:
    """An encoder of the published MiniLM-L6-H384's size: 22.7 million weights, 30522 tokens."""
    return transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )


def resnet50() -> Any:
    """ResNet50 as published, with 1000 labels that have no names."""
    return transformers.ResNetConfig(num_labels=1000)


def _load(model_class: Any, source: Path) -> Any:
    transformers_logging.disable_progress_bar()
    try:
        model, loading = model_class.from_pretrained(
            source, use_safetensors=True, output_loading_info=True, **LOCAL
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{source} can't be loaded: {first_line(error)}") from error
    # transformers fills missing weights with noise and goes on; predictions would be noise too. A bare
    # encoder's pooler is read by nobody here.
    if missing := [key for key in loading["missing_keys"] if not key.startswith("pooler.")]:
        raise CheckpointError(f"{source} lacks weights, {min(missing)} for one: fine-tune it first")
    return model


def _check_labels(source: Path, config: Any) -> None:
    problem = getattr(config, "problem_type", None)
    if config.num_labels < 2 or problem not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{source} has {config.num_labels} label(s) and the problem type {problem}: "
            "choose a classifier of two or more exclusive labels"
        )


def _check_problem(source: Path, config: Any) -> None:
    problem = config.problem_type
    if config.num_labels < 1 or problem not in PROBLEMS:
        raise CheckpointError(
            f"{source} has {config.num_labels} label(s) and the problem type {problem}: "
            f"choose a classifier with labels, its problem_type one of {', '.join(filter(None, PROBLEMS))}"
        )


def _check_reads_both_ways(source: Path, config: Any) -> None:
    """As a decoder, it would let each token see only those before it, which our masks don't say."""
    if getattr(config, "is_decoder", False):
        raise CheckpointError(
            f"{source} is a decoder (is_decoder is true in its config.json): the handlers serve encoders"
        )


def _save_seeded(model_class: Any, config: Any, folder: Path, seed: int) -> None:
    transformers_logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model_class(config).save_pretrained(folder)


def tokenizer_of(corpus: Iterable[str], config: Any) -> Any:
    """Lower-case WordPiece, as BERT's own. A small corpus fills only the beginning of the vocabulary."""
    words = words_of(
        corpus,
        tokenizers.normalizers.BertNormalizer(lowercase=True),
        tokenizers.pre_tokenizers.BertPreTokenizer(),
    )
    vocabulary = word_pieces(words, config.vocab_size, SPECIAL_TOKENS)
    return transformers.BertTokenizer(vocab=vocabulary, model_max_length=config.max_position_embeddings)


def _write_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(recipe, indent=2) + "\n", "utf-8")
