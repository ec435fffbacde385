"""Our answers beside transformers' and sentence-transformers' own, of the same checkpoint: the largest
difference of any number in them. On the CPU, in fp32.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import transformers
import yaml
from ts.context import Context  # type: ignore[import-untyped]

from handlers.archive import archives, checkpoints
from handlers.bert import BertHandler
from handlers.embeddings import EmbeddingsHandler
from handlers.text.pairs import TextOrPair

TEXTS = [
    "Great value.",
    "The kettle boils a litre of water in three minutes, and it does so without a sound.",
    "I left the cinema before the end.",
    "  GREAT   value, ça va?",
    "x",
    "rain " * 200,  # beyond the limit of tokens
]
PAIRS: list[TextOrPair] = [(first, second) for first in TEXTS for second in reversed(TEXTS)]


def classifier_served(source: Path) -> BertHandler:
    """As a worker has it, of a checkpoint as it is archived. Raises CheckpointError."""
    handler = BertHandler()
    _load(handler, source, "text", checkpoints.resave_text)
    return handler


def embeddings_served(source: Path) -> EmbeddingsHandler:
    """The same of a sentence model."""
    handler = EmbeddingsHandler()
    _load(handler, source, "embedding", checkpoints.resave_embedding)
    return handler


def off_the_pipeline(handler: BertHandler, source: Path, inputs: Sequence[TextOrPair]) -> float:
    """From transformers' text-classification pipeline, which gets one input at a time."""
    classify = transformers.pipeline("text-classification", model=str(source))
    told_as, worst = handler.scores.told_as, 0.0
    for each, answer in zip(inputs, handler.predict(inputs), strict=True):
        given = {"text": each[0], "text_pair": each[1]} if isinstance(each, tuple) else each
        function = "none" if told_as == "score" else None
        found = classify(given, truncation=True, top_k=None, function_to_apply=function)
        theirs = {score["label"]: score["score"] for score in found}
        worst = max(worst, *(abs(float(str(ours[told_as])) - theirs[ours["label"]]) for ours in answer))
    return worst


def off_sentence_transformers(handler: EmbeddingsHandler, source: Path, texts: list[str]) -> float:
    """From sentence-transformers' own vectors, which it makes of one text at a time."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer  # slow to import

    model = SentenceTransformer(str(source), device="cpu")
    theirs = np.stack([model.encode(text) for text in texts])
    return float(np.abs(handler.predict(texts).numpy() - theirs).max())


def _load(handler: Any, source: Path, kind: archives.Kind, resave: Callable[[Path, Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        resave(source, Path(folder))
        name = archives.NAMES[kind]
        config = yaml.safe_load((archives.HERE / "model-config" / f"{name}.yaml").read_text())
        handler.initialize(Context(name, folder, {}, 8, None, "0.12.0", model_yaml_config=config))
