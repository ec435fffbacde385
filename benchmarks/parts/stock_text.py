"""A text classifier that works as the one in TorchServe's Huggingface_Transformers example does, re-created.

What it costs is kept, whatever one would do better: each request is logged, tokenized by itself and padded to
150 tokens, the batch grows by a copy for every request, each batch is printed, labels are read one by one.
What is good is kept as well: its base class, inference mode, fp32 and transformers' default attention.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from ts.torch_handler.base_handler import BaseHandler  # type: ignore[import-untyped]

MAX_LENGTH = 150  # what the example's model-config.yaml sets

logger = logging.getLogger(__name__)


class StockTextClassifier(BaseHandler):  # type: ignore[misc]
    """`handle` is the base class's: preprocess, inference, postprocess, and a metric for their time."""

    def initialize(self, context: Any) -> None:
        """Load tokenizer and model from the archive."""
        folder = context.system_properties["model_dir"]
        self.manifest = context.manifest
        self.device = torch.device("cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder).to(self.device).eval()
        self.initialized = True

    def preprocess(self, requests: Sequence[Mapping[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        """n requests -> ids and mask, both n x 150."""
        batch: tuple[torch.Tensor, torch.Tensor] | None = None
        for request in requests:
            text = request.get("data") or request.get("body")
            if isinstance(text, bytes | bytearray):
                text = text.decode("utf-8")
            logger.info("Received text: '%s'", text)
            encoded = self.tokenizer(
                text, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
            )
            row = encoded["input_ids"].to(self.device), encoded["attention_mask"].to(self.device)
            batch = row if batch is None else (torch.cat((batch[0], row[0])), torch.cat((batch[1], row[1])))
        assert batch is not None
        return batch

    @torch.inference_mode()
    def inference(self, batch: tuple[torch.Tensor, torch.Tensor]) -> list[str]:
        """Ids and mask -> the label of each text."""
        predictions = self.model(*batch)
        print("The size of the output:", predictions[0].size())
        print("The output:", predictions)
        labels = self.model.config.id2label
        return [labels[row.unsqueeze(0).argmax(1).item()] for row in predictions[0]]

    def postprocess(self, labels: list[str]) -> list[str]:
        """The labels as they are."""
        return labels
