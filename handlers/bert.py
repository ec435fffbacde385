"""Text classification with a BERT-like encoder: texts -> token ids -> one forward pass -> labels.

Only what is peculiar to text. Reading requests is payload.py's job, devices are devices.py's, batches
batches.py's. TorchServe wants exactly one class in this file.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from handlers.batches import Context, Row, answer
from handlers.devices import send
from handlers.packed import pack_linears
from handlers.payload import text_of
from handlers.runtime import Runtime, start
from handlers.shapes import Network, doubling, make_ready
from handlers.simplified import read_first_token_only
from handlers.tokens import TokenBatch, TokenShapes, pack

# Where batches are padded to ready shapes, no text is padded to less than this.
SHORTEST = 16


class BertHandler:
    """One per worker. `initialize` once, then `handle` for every batch."""

    runtime: Runtime
    tokenizer: Any
    shapes: TokenShapes
    network: Network

    def initialize(self, context: Context) -> None:
        """Load tokenizer and model from the archive. Raises what `runtime.start` raises."""
        self.runtime = start(context, AutoModelForSequenceClassification, read_first_token_only)
        if self.runtime.packs:
            pack_linears(self.runtime.model)
        tokenizer = AutoTokenizer.from_pretrained(
            self.runtime.folder, local_files_only=True, trust_remote_code=False
        )
        max_tokens = _max_tokens(tokenizer, self.runtime.model.config)
        self.tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
        self.tokenizer.no_padding()
        self.shapes = _token_shapes(self.runtime, tokenizer.pad_token_id, max_tokens)
        examples = [example.to(self.runtime.device) for example in self.shapes.examples()]
        self.network = make_ready(self._logits, examples, self.runtime.settings.compile)

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
        encodings = self.tokenizer.encode_batch_fast(texts)
        batch = pack([encoding.ids for encoding in encodings], self.shapes)
        return replace(batch, packed=send(batch.packed, self.runtime.device))

    @torch.inference_mode()
    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Token ids -> probabilities, n x labels, fp32 on the CPU. Waits for the device once, at the end."""
        logits = [
            (self.network if part.padded else self._logits_without_mask)(matrix)[: part.texts]
            for part, matrix in batch.matrices()
        ]
        probabilities = torch.softmax(torch.cat(logits).float(), dim=-1).cpu()
        return probabilities if batch.places is None else probabilities[list(batch.places)]

    def postprocess(self, probabilities: torch.Tensor) -> list[list[dict[str, object]]]:
        """Probabilities, n x labels -> all labels of each text, the most probable first."""
        names = self.runtime.model.config.id2label
        values, indices = probabilities.sort(dim=-1, descending=True)
        return [
            [{"label": names[i], "probability": p} for p, i in zip(row, order, strict=True)]
            for row, order in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def _logits(self, matrix: torch.Tensor) -> torch.Tensor:
        """Rows x (1 + length) of a TokenBatch -> rows x labels. The mask has the four dimensions that
        attention wants: given two, transformers would look at it on the host, and wait for the device."""
        lengths, ids = matrix[:, :1], matrix[:, 1:]
        mask = torch.arange(ids.shape[1], device=ids.device) < lengths
        logits: torch.Tensor = self.runtime.model(input_ids=ids, attention_mask=mask[:, None, None, :]).logits
        return logits

    def _logits_without_mask(self, matrix: torch.Tensor) -> torch.Tensor:
        """The same where no row is padded: without a mask, attention may choose its fastest kernels."""
        logits: torch.Tensor = self.runtime.model(input_ids=matrix[:, 1:]).logits
        return logits


def _token_shapes(runtime: Runtime, pad_id: int, max_tokens: int) -> TokenShapes:
    settings = runtime.settings
    if not runtime.compiles:
        return TokenShapes(pad_id, max_tokens, settings.pad_to_multiple_of)
    asked = settings.shapes.lengths or doubling(max_tokens, smallest=SHORTEST)
    lengths = tuple(length for length in asked if length <= max_tokens) or (max_tokens,)
    return TokenShapes(pad_id, max_tokens, settings.pad_to_multiple_of, runtime.batch_sizes(), lengths)


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """The model's limit. A tokenizer without one claims 10^30; RoBERTa counts positions after its padding."""
    positions = config.max_position_embeddings
    if "roberta" in config.model_type:
        positions -= config.pad_token_id + 1
    return int(min(tokenizer.model_max_length, positions))
