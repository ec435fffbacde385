"""Text classification with a BERT-like encoder: texts -> one forward pass -> labels and probabilities.

Only what is peculiar to classification. Texts and tokens are encoder.py's job, what logits mean scores.py's,
reading requests payload.py's and pairs.py's, batches batches.py's. TorchServe wants exactly one class in this
file.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from handlers.model.lost import ending_with_its_context
from handlers.model.runtime import Runtime, start
from handlers.model.simplified import read_first_token_only
from handlers.request.batches import Context, Row, answer
from handlers.request.declared import TEXT
from handlers.text.encoder import Encoder, encoder_of
from handlers.text.pairs import TextOrPair, text_or_pair_of
from handlers.text.scores import Scores, scores_of
from handlers.text.tokens import TokenBatch


class BertHandler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    medium = TEXT
    runtime: Runtime
    scores: Scores
    encoder: Encoder

    def initialize(self, context: Context) -> None:
        """Load tokenizer and model from the archive. Raises what `runtime.start` and `encoder_of` raise."""
        self.runtime = start(context, AutoModelForSequenceClassification, read_first_token_only)
        self.scores = scores_of(self.runtime.model.config)
        self.encoder = encoder_of(self.runtime, self._scores)

    def handle(self, rows: Sequence[Row], context: Context) -> list[bytes]:
        """A batch of requests -> an answer for each, in order."""
        settings, tally = self.runtime.settings, self.runtime.tally
        with ending_with_its_context(self.runtime.device):
            return answer(self, rows, context, settings.limits, tally, turns=self.runtime.turns)

    def predict(self, texts: Sequence[TextOrPair]) -> list[list[dict[str, object]]]:
        """n texts or pairs -> n lists of {"label", "probability"}, the most probable first."""
        return self.postprocess(self.forward(self.preprocess(texts)))

    def read_item(self, value: object) -> TextOrPair:
        """What the client sent for one input -> its text, or its two. Raises PayloadError."""
        return text_or_pair_of(value, self.runtime.settings.limits)

    def preprocess(self, texts: Sequence[TextOrPair]) -> TokenBatch:
        """n texts or pairs -> their token ids on the device, cut at the model's limit and padded."""
        return self.encoder.preprocess(texts)

    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Token ids -> scores, n x labels, fp32 on the CPU: probabilities, unless it is a regression."""
        return self.encoder.forward(batch)

    def postprocess(self, scores: torch.Tensor) -> list[list[dict[str, object]]]:
        """Scores, n x labels -> all labels of each text, the highest first."""
        names, told_as = self.runtime.model.config.id2label, self.scores.told_as
        values, indices = scores.sort(dim=-1, descending=True)
        return [
            [{"label": names[i], told_as: score} for score, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def _scores(self, output: Any, _: torch.Tensor | None) -> torch.Tensor:
        return self.scores.of(output.logits.float())
