"""Text classification with a BERT-like encoder: texts -> one forward pass -> labels and probabilities.

Only what is peculiar to classification. Texts and tokens are encoder.py's job, reading requests is
payload.py's, batches are batches.py's. TorchServe wants exactly one class in this file.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from handlers.model.runtime import Runtime, start
from handlers.model.simplified import read_first_token_only
from handlers.request.batches import Context, Row, answer
from handlers.request.declared import TEXT
from handlers.request.payload import text_of
from handlers.text.encoder import Encoder, encoder_of
from handlers.text.tokens import TokenBatch


class BertHandler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    medium = TEXT
    runtime: Runtime
    encoder: Encoder

    def initialize(self, context: Context) -> None:
        """Load tokenizer and model from the archive. Raises what `runtime.start` and `encoder_of` raise."""
        self.runtime = start(context, AutoModelForSequenceClassification, read_first_token_only)
        self.encoder = encoder_of(self.runtime, _probabilities)

    def handle(self, rows: Sequence[Row], context: Context) -> list[bytes]:
        """A batch of requests -> an answer for each, in order."""
        return answer(self, rows, context, self.runtime.settings.limits, self.runtime.tally)

    def predict(self, texts: list[str]) -> list[list[dict[str, object]]]:
        """n texts -> n lists of {"label", "probability"}, the most probable first."""
        return self.postprocess(self.forward(self.preprocess(texts)))

    def read_item(self, value: object) -> str:
        """What the client sent for one input -> its text. Raises PayloadError."""
        return text_of(value, self.runtime.settings.limits)

    def preprocess(self, texts: list[str]) -> TokenBatch:
        """n texts -> their token ids on the device, cut at the model's limit and padded."""
        return self.encoder.preprocess(texts)

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Token ids -> probabilities, n x labels, fp32 on the CPU."""
        return self.encoder.forward(batch)

    def postprocess(self, probabilities: torch.Tensor) -> list[list[dict[str, object]]]:
        """Probabilities, n x labels -> all labels of each text, the most probable first."""
        names = self.runtime.model.config.id2label
        values, indices = probabilities.sort(dim=-1, descending=True)
        return [
            [{"label": names[i], "probability": p} for p, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]


def _probabilities(output: Any, _: torch.Tensor | None) -> torch.Tensor:
    return torch.softmax(output.logits.float(), dim=-1)
