"""Each family of text models as it is served, against transformers' and sentence-transformers' own output.

`python -m benchmarks.families` prints tables in markdown: how each is served, and the largest difference of
any number in our answers, over texts and pairs; then what is refused, and in which words. Tiny checkpoints
with random weights, on the CPU in fp32: half a minute.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from benchmarks.families.checkpoints import FAMILIES, classifier, encoder
from benchmarks.families.compared import (
    PAIRS,
    TEXTS,
    classifier_served,
    embeddings_served,
    off_sentence_transformers,
    off_the_pipeline,
)
from handlers.archive.sources import CheckpointError, check

HEADS: dict[str, dict[str, Any]] = {
    "several labels at once (sigmoid)": {"problem_type": "multi_label_classification"},
    "regression, one raw score": {"problem_type": "regression", "labels": 1},
    "regression, three": {"problem_type": "regression"},
}
SIZE = 32  # of the hidden states
POOLINGS: tuple[Any, ...] = (
    "cls",
    "max",
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
    ("cls", "mean", "max"),
)
REFUSED = ("deberta", "xlnet", "longformer", "gpt2")


def main() -> None:
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    print("| text classifier | served | texts | pairs |\n|---|---|---:|---:|")
    for line in _classifiers():
        print(line, flush=True)
    print("\n| sentence model | served | texts |\n|---|---|---:|")
    for line in _sentence_models():
        print(line, flush=True)
    print("\n| refused | in these words |\n|---|---|")
    for line in _refusals():
        print(line, flush=True)


def _classifiers() -> Iterator[str]:
    for family in FAMILIES:
        yield _classifier(family, {}, family)
    for name, config in HEADS.items():
        yield _classifier("bert", config, f"bert, {name}")


def _classifier(family: str, config: dict[str, Any], name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = classifier(family, Path(folder), **config)
        handler = classifier_served(source)
        texts, pairs = (off_the_pipeline(handler, source, inputs) for inputs in (TEXTS, PAIRS))
    return f"| {name} | {_path(handler)} | {texts:.0e} | {pairs:.0e} |"


def _sentence_models() -> Iterator[str]:
    from sentence_transformers.sentence_transformer import modules  # slow to import

    for family in FAMILIES:
        yield _sentence_model(family, f"{family}, mean", [modules.Pooling(SIZE), modules.Normalize()])
    for mode in POOLINGS:
        name = mode if isinstance(mode, str) else " + ".join(mode)
        yield _sentence_model("bert", f"bert, {name}", [modules.Pooling(SIZE, mode)])
    dense = [modules.Pooling(SIZE), modules.Dense(SIZE, 8), modules.Normalize()]
    yield _sentence_model("bert", "bert, mean, Dense, Normalize", dense)


def _sentence_model(family: str, name: str, behind: list[Any]) -> str:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    with tempfile.TemporaryDirectory() as folder:
        bare, source = encoder(family, Path(folder, "bare")), Path(folder, "model")
        chain = [modules.Transformer(str(bare)), *behind]
        SentenceTransformer(modules=chain, device="cpu").save(str(source), create_model_card=False)
        handler = embeddings_served(source)
        off = off_sentence_transformers(handler, source, TEXTS)
    return f"| {name} | {_path(handler)} | {off:.0e} |"


def _path(handler: Any) -> str:
    return "tuned" if handler.runtime.settings.tuned else "plain"


def _refusals() -> Iterator[str]:
    for family in REFUSED:
        with tempfile.TemporaryDirectory() as folder:
            source = classifier("bert", Path(folder))
            config = source / "config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": family}))
            try:
                check(source, "text")
                told = "not refused"
            except CheckpointError as error:
                told = str(error).replace(folder, "CHECKPOINT")
        yield f"| {family} | {told} |"


if __name__ == "__main__":
    main()
