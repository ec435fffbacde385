"""BERT-like encoders: texts -> token ids -> one forward pass -> a row of features for each text, in order.

What text handlers have in common between reading requests and telling answers. What a row holds is the
handler's business: it gives the head that makes rows of what transformers' model puts out.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from transformers import AutoTokenizer

from handlers.model.devices import send
from handlers.model.families import COUNT_AFTER_PADDING, PLAIN
from handlers.model.packed import pack_linears
from handlers.model.products import refuse_wrong_products
from handlers.model.runtime import Runtime
from handlers.model.shapes import Network, doubling, make_ready, warm_up
from handlers.text.pairs import TextOrPair
from handlers.text.tokens import TokenBatch, TokenShapes, pack, pack_pairs
from handlers.text.words import Tokenize, tokenize_with

# Where batches are padded to ready shapes, no text is padded to less than this.
SHORTEST = 16

# The shapes (texts, tokens) whose forward passes are timed at load, small and larger: enough to tell a pass's
# overhead from what its tokens cost, and well under a second for BERT-base.
PROBES = {"cpu": ((1, 16), (4, 32)), "cuda": ((1, 16), (64, 128))}
PROBE_RUNS = 4  # the first one warms up

# The model's output, and which tokens are real (rows x length; None: all of them) -> rows x features, fp32.
Head = Callable[[Any, torch.Tensor | None], torch.Tensor]

# Rows x (1 + length) of a TokenBatch, and the types of its tokens or None -> the head's rows.
TypedNetwork = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer, a model and its head, ready for any number of texts.

    `has_types`: must the model be told to which text of a pair a token belongs?
    """

    runtime: Runtime
    tokenize: Tokenize
    backend: Any
    has_types: bool
    shapes: TokenShapes
    network: Network
    network_without_mask: Network
    network_with_types: TypedNetwork

    def preprocess(self, texts: Sequence[TextOrPair]) -> TokenBatch:
        """n texts or pairs -> their token ids on the device, cut at the model's limit and padded."""
        alone = [text for text in texts if isinstance(text, str)]
        if len(alone) == len(texts):
            batch = pack(self.tokenize(alone), self.shapes)
            return replace(batch, packed=send(batch.packed, self.runtime.device))
        return self._preprocess_pairs(texts)

    @torch.inference_mode()
    def forward(self, batch: TokenBatch) -> torch.Tensor:
        """Token ids -> the head's rows, n x features, fp32 on the CPU. Waits for the device once."""
        if batch.types is None:
            rows = [
                (self.network if part.padded else self.network_without_mask)(matrix)[: part.texts]
                for part, matrix in batch.matrices()
            ]
        else:
            rows = [
                self.network_with_types(matrix, types)[: part.texts]
                for (part, matrix), types in zip(batch.matrices(), batch.types_of_matrices(), strict=True)
            ]
        features = torch.cat(rows).cpu()
        return features if batch.places is None else features[list(batch.places)]

    def _preprocess_pairs(self, texts: Sequence[TextOrPair]) -> TokenBatch:
        """Of a pair, tokens are cut from the text that is longer by then."""
        encodings = self.backend.encode_batch(list(texts))
        ids, device = [encoding.ids for encoding in encodings], self.runtime.device
        if not self.has_types:
            batch = pack(ids, self.shapes)
            return replace(batch, packed=send(batch.packed, device))
        batch = pack_pairs(ids, [encoding.type_ids for encoding in encodings], self.shapes)
        assert batch.types is not None
        return replace(batch, packed=send(batch.packed, device), types=send(batch.types, device))


def encoder_of(runtime: Runtime, head: Head) -> Encoder:
    """The archive's tokenizer and its loaded model, made ready for the shapes of batches to come.

    Raises SettingsError where a shape can't be made ready, OSError where there is no tokenizer, DeviceError
    where the GPU calculates wrongly.
    """
    if runtime.packs:
        pack_linears(runtime.model)
    # As many as torch has: else the tokenizer starts one for each core of the machine, in every worker.
    os.environ.setdefault("RAYON_NUM_THREADS", str(torch.get_num_threads()))
    tokenizer = AutoTokenizer.from_pretrained(runtime.folder, local_files_only=True, trust_remote_code=False)
    max_tokens = _max_tokens(tokenizer, runtime.model.config)
    backend = tokenizer.backend_tokenizer
    backend.enable_truncation(max_tokens, direction=tokenizer.truncation_side)
    backend.no_padding()
    shapes = _token_shapes(runtime, tokenizer.pad_token_id, max_tokens)
    examples = [example.to(runtime.device) for example in shapes.examples()]
    network, without_mask, with_types = _networks(runtime, head)
    refuse_wrong_products(network, _common_shapes(runtime, shapes), runtime.device, runtime.model.dtype)
    ready = make_ready(network, examples, runtime.settings.compile)
    (largest,) = replace(
        shapes, batch_sizes=runtime.batch_sizes()[-1:], lengths=(shapes.max_tokens,)
    ).examples()
    warm_up([ready, without_mask], [examples[0], largest.to(runtime.device)])
    if runtime.settings.tuned:
        shapes = replace(shapes, overhead_tokens=_overhead_tokens(ready, shapes, runtime.device))
    typed = has_types(tokenizer, runtime.model.config)
    tokenize = tokenize_with(backend, max_tokens)
    return Encoder(runtime, tokenize, backend, typed, shapes, ready, without_mask, with_types)


def _common_shapes(runtime: Runtime, shapes: TokenShapes) -> Iterator[torch.Tensor]:
    """Batches of padding on the device, of sizes and lengths that each double the one before."""
    lengths = shapes.lengths or doubling(shapes.max_tokens, smallest=SHORTEST)
    for example in replace(shapes, batch_sizes=runtime.batch_sizes(), lengths=lengths).examples():
        yield example.to(runtime.device)


def has_types(tokenizer: Any, config: Any) -> bool:
    """Does transformers pass the types of tokens to this model? One with a single type has no choice."""
    return "token_type_ids" in tokenizer.model_input_names and getattr(config, "type_vocab_size", 0) > 1


def _networks(runtime: Runtime, head: Head) -> tuple[Network, Network, TypedNetwork]:
    """Rows x (1 + length) of a TokenBatch -> the head's rows; the same where no row is padded: without a
    mask, attention may choose its fastest kernels; and the same with the types of the tokens."""
    model = runtime.model
    plain = model.config.model_type in PLAIN or not runtime.on_torch

    def network(matrix: torch.Tensor, types: torch.Tensor | None = None) -> torch.Tensor:
        lengths, ids = matrix[:, :1], matrix[:, 1:]
        real = torch.arange(ids.shape[1], device=ids.device) < lengths
        # The four dimensions that attention wants: given two, transformers would look at the mask on the
        # host, and wait for the device.
        mask = real.long() if plain else real[:, None, None, :]
        typed = {} if types is None else {"token_type_ids": types}
        return head(model(input_ids=ids, attention_mask=mask, **typed), real)

    def without_mask(matrix: torch.Tensor) -> torch.Tensor:
        return head(model(input_ids=matrix[:, 1:]), None)

    return network, network if plain else without_mask, network


def _overhead_tokens(network: Network, shapes: TokenShapes, device: torch.device) -> float:
    """What a forward pass costs beyond its tokens, in tokens: where the line through the times of two passes
    meets no tokens at all. Infinite where more tokens take no longer, as on a GPU that waits for its host."""
    (few, short_s), (many, long_s) = (
        _timed(network, shapes, rows, length, device) for rows, length in PROBES[device.type]
    )
    if many <= few or long_s <= short_s:
        return float("inf")
    token_s = (long_s - short_s) / (many - few)
    return max(0.0, short_s / token_s - few)


@torch.inference_mode()
def _timed(
    network: Network, shapes: TokenShapes, rows: int, length: int, device: torch.device
) -> tuple[int, float]:
    """The tokens of a batch of about this shape, and the seconds of its forward pass, the fastest of some."""
    length = shapes.padded_length(min(length, shapes.max_tokens))
    batch = pack([[shapes.pad_id] * length] * rows, replace(shapes, overhead_tokens=float("inf")))
    part, matrix = next(replace(batch, packed=batch.packed.to(device)).matrices())
    times_s = []
    for _ in range(PROBE_RUNS):
        begun_s = perf_counter()
        network(matrix).cpu()
        times_s.append(perf_counter() - begun_s)
    return part.rows * part.length, min(times_s)


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
    if config.model_type in COUNT_AFTER_PADDING:
        positions -= config.pad_token_id + 1
    return int(min(tokenizer.model_max_length, positions))
