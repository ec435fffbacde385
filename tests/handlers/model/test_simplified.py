"""Short cuts and packed weights: the answers of the model as transformers made it, for every architecture."""

import copy
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from handlers.model.packed import can_pack, pack_convolutions, pack_linears
from handlers.model.simplified import fold_normalization, read_first_token_only

SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
    "num_labels": 3,
    "initializer_range": 0.3,
}
SMALL_DISTILBERT = {
    "vocab_size": 99,
    "dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 64,
    "num_labels": 3,
    "initializer_range": 0.3,
}
CONFIGS = {
    "bert": transformers.BertConfig(**SMALL),
    "electra": transformers.ElectraConfig(**SMALL, embedding_size=16),
    "roberta": transformers.RobertaConfig(**SMALL),
    "xlm-roberta": transformers.XLMRobertaConfig(**SMALL),
    "albert": transformers.AlbertConfig(**SMALL, embedding_size=16),
    "distilbert": transformers.DistilBertConfig(**SMALL_DISTILBERT),
}
LENGTHS = torch.tensor([[5], [12], [1]])

packing = pytest.mark.skipif(not can_pack(torch.float32), reason="this torch has no oneDNN operators")


def text_model(kind: str) -> Any:
    torch.manual_seed(0)
    return (
        transformers.AutoModelForSequenceClassification.from_config(CONFIGS[kind])
        .eval()
        .requires_grad_(False)
    )


def image_model(layer_type: str = "bottleneck") -> Any:
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 2, 1, 1], layer_type=layer_type
    )
    model = transformers.ResNetForImageClassification(config).eval().requires_grad_(False)
    for module in model.modules():  # as after training: fresh ones do nothing
        if isinstance(module, torch.nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, name).data.uniform_(0.5, 1.5)
    return model


@torch.inference_mode()
def text_logits(model: Any, *, masked: bool = True) -> torch.Tensor:
    """Of three texts of different lengths, or of the same."""
    ids = torch.randint(1, 99, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(12) < LENGTHS)[:, None, None, :]
    logits: torch.Tensor = model(input_ids=ids, attention_mask=mask if masked else None).logits
    return logits


@torch.inference_mode()
def image_logits(model: Any, images: int = 3) -> torch.Tensor:
    pixels = torch.randn(images, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    logits: torch.Tensor = model(pixel_values=pixels.to(memory_format=torch.channels_last)).logits
    return logits


def flop(model: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        text_logits(model)
    return counter.get_total_flops()


class TestFirstTokenOnly:
    @pytest.mark.parametrize("kind", CONFIGS)
    @pytest.mark.parametrize("masked", [True, False])
    def test_gives_the_same_logits(self, kind: str, masked: bool) -> None:
        model = text_model(kind)
        expected = text_logits(model, masked=masked)
        read_first_token_only(model)
        assert torch.allclose(text_logits(model, masked=masked), expected, atol=1e-5)

    @pytest.mark.parametrize("kind", CONFIGS)
    def test_saves_arithmetic_except_where_layers_are_shared(self, kind: str) -> None:
        model = text_model(kind)
        before = flop(model)
        read_first_token_only(model)
        assert (flop(model) < before) == (kind != "albert")


class TestFoldedNormalisation:
    @pytest.mark.parametrize("layer_type", ["bottleneck", "basic"])
    def test_gives_the_same_logits_without_any_left(self, layer_type: str) -> None:
        model = image_model(layer_type)
        expected = image_logits(model)
        fold_normalization(model)
        assert torch.allclose(image_logits(model), expected, rtol=1e-4, atol=1e-4)
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


@packing
class TestPackedWeights:
    @pytest.mark.parametrize("kind", CONFIGS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_of_texts_give_the_same_logits(self, kind: str, dtype: torch.dtype) -> None:
        model = text_model(kind).to(dtype)
        expected = text_logits(model)
        pack_linears(model)
        assert not any(isinstance(module, torch.nn.Linear) for module in model.modules())
        tolerance = 1e-5 if dtype == torch.float32 else 0.15
        assert torch.allclose(text_logits(model), expected, atol=tolerance)

    @pytest.mark.parametrize("layer_type", ["bottleneck", "basic"])
    def test_of_images_give_the_same_logits_for_any_batch(self, layer_type: str) -> None:
        model = image_model(layer_type)
        expected = image_logits(model)
        fold_normalization(model)
        pack_convolutions(model, torch.zeros(1, 3, 64, 64))
        assert torch.allclose(image_logits(model), expected, rtol=1e-4, atol=1e-4)
        assert torch.allclose(image_logits(model, images=1), expected[:1], rtol=1e-4, atol=1e-4)

    def test_keep_a_normalisation_that_was_not_folded(self) -> None:
        model = image_model()
        expected = image_logits(model)
        pack_convolutions(model, torch.zeros(1, 3, 64, 64))
        assert torch.allclose(image_logits(model), expected, rtol=1e-4, atol=1e-4)

    def test_cost_what_torchs_counter_says_of_the_plain_ones(self) -> None:
        model = text_model("bert")
        packed = copy.deepcopy(model)
        pack_linears(packed)
        assert flop(packed) == flop(model)
