"""Text classification with a BERT-like encoder: texts -> token ids -> one forward pass -> labels.

Only what is peculiar to text. Reading requests is payload.py's job, devices and batches are runtime.py's.
TorchServe wants exactly one class in this file.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from handlers.payload import text_of
from handlers.runtime import Context, Row, Runtime, answer, start


class BertHandler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    runtime: Runtime
    tokenizer: Any
    max_tokens: int

    def initialize(self, context: Context) -> None:
        """Load tokenizer and model from the archive. Raises what `runtime.start` raises."""
        self.runtime = start(context, AutoModelForSequenceClassification)
        self.tokenizer = AutoTokenizer.from_pretrained(
            self.runtime.folder, local_files_only=True, trust_remote_code=False
        )
        self.max_tokens = _max_tokens(self.tokenizer, self.runtime.model.config)

    def handle(self, rows: Sequence[Row], context: Context) -> list[object]:
        """A batch of requests -> an answer for each, in order."""
        limits = self.runtime.settings.limits
        return answer(rows, context, partial(text_of, limits=limits), self.predict, limits.instances)

    def predict(self, texts: list[str]) -> list[list[dict[str, object]]]:
        """n texts -> n lists of {"label", "probability"}, the most probable first."""
        return self.postprocess(self.forward(self.preprocess(texts)))

    def preprocess(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """n texts -> tensors of n x tokens of the longest text, cut at the model's limit, on the device."""
        encoded = self.tokenizer(
            texts, padding="longest", truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return {name: tensor.to(self.runtime.device) for name, tensor in encoded.items()}

    @torch.inference_mode()
    def forward(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Token ids and masks -> probabilities, n x labels, fp32 on the CPU."""
        logits = self.runtime.model(**inputs).logits
        return torch.softmax(logits.float(), dim=-1).cpu()

    def postprocess(self, probabilities: torch.Tensor) -> list[list[dict[str, object]]]:
        """Probabilities, n x labels -> all labels of each text, the most probable first."""
        names = self.runtime.model.config.id2label
        values, indices = probabilities.sort(dim=-1, descending=True)
        return [
            [{"label": names[i], "probability": p} for p, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """The model's limit. A tokenizer without one claims 10^30; RoBERTa counts positions after its padding."""
    positions = config.max_position_embeddings
    if "roberta" in config.model_type:
        positions -= config.pad_token_id + 1
    return int(min(tokenizer.model_max_length, positions))
