"""Sentence embeddings with a BERT-like encoder: texts -> one forward pass -> a vector for each.

Only what is peculiar to embeddings. Texts and tokens are encoder.py's job, pooling is pooling.py's, reading
requests payload.py's, batches batches.py's. TorchServe wants exactly one class in this file.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModel

from handlers.model.lost import ending_with_its_context
from handlers.model.runtime import Runtime, start
from handlers.model.simplified import drop_pooler, read_first_token_only
from handlers.request.batches import Context, Row, answer
from handlers.request.declared import TEXT
from handlers.request.payload import text_of
from handlers.text.encoder import Encoder, encoder_of
from handlers.text.pooling import Pooling, pooling_of
from handlers.text.tokens import TokenBatch
from handlers.text.vectors import to_json


class EmbeddingsHandler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    medium = TEXT
    runtime: Runtime
    pooling: Pooling
    encoder: Encoder

    def initialize(self, context: Context) -> None:
        """Load tokenizer and model from the archive. Raises what `runtime.start` and `encoder_of` raise."""
        self.runtime = runtime = start(context, AutoModel, drop_pooler)
        self.pooling = pooling_of(runtime.folder, runtime.settings.pooling, runtime.device)
        if runtime.on_torch and runtime.settings.tuned and self.pooling.modes == ("cls",):
            read_first_token_only(runtime.model)
        self.encoder = encoder_of(runtime, self._vectors)

    def handle(self, rows: Sequence[Row], context: Context) -> list[bytes]:
        """A batch of requests -> an answer for each, in order."""
        settings, tally = self.runtime.settings, self.runtime.tally
        with ending_with_its_context(self.runtime.device):
            return answer(self, rows, context, settings.limits, tally, turns=self.runtime.turns)

    def predict(self, texts: list[str]) -> torch.Tensor:
        """n texts -> their vectors, n x size, fp32."""
        return self.forward(self.preprocess(texts))

    def read_item(self, value: object) -> str:
        """What the client sent for one input -> its text. Raises PayloadError."""
        return text_of(value, self.runtime.settings.limits)

    def preprocess(self, texts: list[str]) -> TokenBatch:
        """n texts, a prompt before each -> their token ids on the device, cut at the limit and padded."""
        if self.pooling.prompt:
            texts = [self.pooling.prompt + text for text in texts]
        return self.encoder.preprocess(texts)

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Token ids -> vectors, n x size, fp32 on the CPU."""
        return self.encoder.forward(batch)

    def postprocess(self, vectors: torch.Tensor) -> list[bytes]:
        """Vectors, n x size -> a JSON array of numbers for each."""
        return to_json(vectors.numpy())

    def _vectors(self, output: Any, real: torch.Tensor | None) -> torch.Tensor:
        return self.pooling.vectors(output.last_hidden_state, real)
