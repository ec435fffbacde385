"""Tiny checkpoints of the architectures that the handlers serve: real files, milliseconds to run.

Seeded random weights. For unit tests, and for tests that serve a real archive.
"""

import json
from pathlib import Path
from typing import Any

import transformers
from safetensors.torch import load_file, save_file

from handlers.archive import checkpoints
from handlers.archive.archives import CORPUS


def edit_json(path: Path, **changes: Any) -> None:
    """Changes keys of a checkpoint's file, such as its config.json."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def tiny_bert(
    folder: Path,
    *,
    labels: tuple[str, ...] = ("bad", "so-so", "good"),
    max_tokens: int = 64,
    seed: int = 0,
    spread: float = 0.5,
) -> Path:
    """A BERT sequence classifier of two layers, with its tokenizer -> `folder`.

    `spread` is the standard deviation of its weights: larger than in real models, so that different texts
    get clearly different answers. At 0.5 it also blows rounding errors up; at 0.2 it doesn't.
    """
    config = transformers.BertConfig(
        vocab_size=1000,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=max_tokens,
        initializer_range=spread,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
    )
    checkpoints.random_text(folder, config, CORPUS.read_text().splitlines(), seed)
    return folder


def tiny_encoder(folder: Path, *, max_tokens: int = 64, seed: int = 0, spread: float = 0.2) -> Path:
    """A BERT encoder of two layers, with its tokenizer and an archive's note on pooling -> `folder`."""
    config = transformers.BertConfig(
        vocab_size=1000,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=max_tokens,
        initializer_range=spread,
    )
    checkpoints.random_embedding(folder, config, CORPUS.read_text().splitlines(), seed)
    return folder


def tiny_resnet(
    folder: Path,
    *,
    labels: int = 10,
    edge: int = 224,
    stages: tuple[int, ...] = (8, 16, 16, 32),
    seed: int = 0,
    decision: float = 1,
) -> Path:
    """A ResNet image classifier with its preprocessing recipe -> `folder`. `stages` are their channels.

    `decision` multiplies the weights of its last layer: the larger, the clearer it prefers one label.
    """
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=list(stages),
        depths=[1] * len(stages),
        id2label={i: f"thing {i}" for i in range(labels)},
        label2id={f"thing {i}": i for i in range(labels)},
    )
    recipe = checkpoints.IMAGENET_RECIPE | {"size": {"shortest_edge": edge}}
    checkpoints.random_image(folder, config, seed, recipe)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.1.weight"] *= decision
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
