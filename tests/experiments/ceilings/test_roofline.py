"""From the work of a request and the peaks of a device to the most requests a second; what models ask for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from experiments.ceilings.datasheet import CARDS, peaks_of
from experiments.ceilings.work import count
from experiments.results.roofline import Peaks, Work, roofline
from handlers.archive.checkpoints import bert_base, resnet50

MEGA, GIGA, TERA = 1e6, 1e9, 1e12

positive = st.floats(1e3, 1e15)
works = st.builds(
    Work, flop=positive, activation_bytes=positive, weight_bytes=st.integers(1, 10**12), precision=st.none()
)
devices = st.builds(Peaks, flops=positive, bytes_per_s=positive, source=st.just("a test"))


def some_work(**differently: float) -> Work:
    """A model that takes 10 ms of arithmetic a request, 20 ms to read its weights, 1 ms for activations."""
    figures = {"flop": 10 * MEGA, "activation_bytes": 1 * MEGA, "weight_bytes": 20 * MEGA} | differently
    return Work(figures["flop"], figures["activation_bytes"], int(figures["weight_bytes"]), "fp32")


A_DEVICE = Peaks(flops=1 * GIGA, bytes_per_s=1 * GIGA, source="a test")


def test_a_single_request_waits_for_the_weights() -> None:
    found = roofline(some_work(), 1, A_DEVICE)
    assert found.bound == "memory"
    assert found.throughput_rps == pytest.approx(1 / 0.021)


def test_a_large_batch_shares_them_and_waits_for_the_arithmetic() -> None:
    found = roofline(some_work(), 100, A_DEVICE)
    assert found.bound == "compute"
    assert found.throughput_rps == pytest.approx(100)


@given(works, devices, st.integers(1, 1000))
def test_a_larger_batch_is_never_slower(work: Work, device: Peaks, batch_size: int) -> None:
    smaller, larger = (roofline(work, size, device).throughput_rps for size in (batch_size, batch_size + 1))
    assert larger >= smaller * (1 - 1e-12)


@given(works, devices, st.integers(1, 1000))
def test_no_batch_size_beats_the_arithmetic_alone(work: Work, device: Peaks, batch_size: int) -> None:
    most = device.flops / work.flop
    assert roofline(work, batch_size, device).throughput_rps <= most * (1 + 1e-12)


def test_the_table_knows_cards_by_the_names_that_nvml_gives_them() -> None:
    h200 = peaks_of("NVIDIA H200", "bf16")
    assert h200 is not None
    assert (h200.flops, h200.bytes_per_s) == (989.5 * TERA, 4.8 * TERA)
    assert h200.source.startswith("https://www.nvidia.com/")
    for name in ("NVIDIA A100-SXM4-80GB", "NVIDIA L4", "Tesla T4", "Tesla V100-SXM2-16GB"):
        assert peaks_of(name, "fp16") is not None


# Dense half-precision TFLOPS and GB/s.
RENTED = {
    "NVIDIA A10": (125, 600),
    "NVIDIA A10G": (70, 600),
    "NVIDIA A30": (165, 933),
    "NVIDIA A40": (149.7, 696),
    "NVIDIA L40": (181.05, 864),
    "NVIDIA L40S": (366.5, 864),
    "NVIDIA RTX A6000": (154.8, 768),
    "NVIDIA RTX 6000 Ada Generation": (364.25, 960),
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": (500, 1792),
    "NVIDIA B200": (2250, 7700),
}


@pytest.mark.parametrize("name", RENTED)
def test_most_cards_that_are_rented_have_a_row(name: str) -> None:
    half_tflops, gigabytes_per_s = RENTED[name]
    found = peaks_of(name, "fp16")
    assert found is not None
    assert (found.flops, found.bytes_per_s) == (half_tflops * TERA, gigabytes_per_s * GIGA)


def test_a_geforce_sums_halves_in_single_precision_at_half_of_its_rate() -> None:
    """What torch does, so that a 4090's ceiling is 165 and not the 330 of a sum in half precision."""
    for name, tflops in {"2080 Ti": 56.9, "3090": 71, "4090": 165.2}.items():
        found = peaks_of(f"NVIDIA GeForce RTX {name}", "fp16")
        assert found is not None
        assert found.flops == tflops * TERA
    assert peaks_of("NVIDIA GeForce RTX 2080 Ti", "bf16") is None


def test_unknown_cards_and_precisions_have_no_peaks() -> None:
    """A name that only begins like a known one is another card."""
    others = (
        "NVIDIA L40G",
        "NVIDIA A16",
        "NVIDIA H200 MIG 1g.18gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "",
    )
    for name in others:
        assert peaks_of(name, "fp32") is None
    assert peaks_of("Tesla T4", "bf16") is None
    assert peaks_of("NVIDIA H200", None) is None


def test_each_row_has_a_source_and_dense_figures_that_fit_together() -> None:
    for card in CARDS:
        assert card.source.startswith("https://")
        assert card.tflops["fp32"] < card.tflops["fp16"]
        assert card.tflops.get("bf16", card.tflops["fp16"]) == card.tflops["fp16"]
        # Tensor cores do half as many operations in tf32 as in fp16.
        assert card.tflops.get("tf32", card.tflops["fp16"] / 2) == pytest.approx(
            card.tflops["fp16"] / 2, rel=0.01
        )


# What the real architectures ask for. Meta tensors have shapes and no content: nothing is calculated.


@pytest.mark.thorough
def test_bert_base_at_128_tokens_takes_22_gigaflop() -> None:
    from transformers import BertForSequenceClassification

    with torch.device("meta"):
        model = BertForSequenceClassification(bert_base()).eval()
        tokens = torch.zeros(1, 128, dtype=torch.long)
    work = count(model, [[((), {"input_ids": tokens})]])
    # Per layer: 4 products with 768 x 768 and 2 with 768 x 3072, then scores and their sum over 128 tokens.
    by_hand = 12 * 2 * 128 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 128 * 768) + 2 * (768**2 + 768 * 2)
    assert work["flop"] == by_hand
    assert work["flop"] / GIGA == pytest.approx(22.35, abs=0.01)
    # All weights but the three tables of embeddings (and their norm counts).
    embedded = (30522 + 512 + 2) * 768
    assert work["weight_bytes"] == 4 * (sum(p.numel() for p in model.parameters()) - embedded)
    assert work["activation_bytes"] == 2 * 4 * (12 * 128 * (5 * 768 + 3072) + 768 + 2)


@pytest.mark.thorough
def test_resnet50_at_224_pixels_takes_8_gigaflop() -> None:
    from transformers import ResNetForImageClassification

    with torch.device("meta"):
        model = ResNetForImageClassification(resnet50()).eval()
        pixels = torch.zeros(1, 3, 224, 224)
    work = count(model, [[((), {"pixel_values": pixels})]])
    assert work["flop"] / GIGA == pytest.approx(8.2, abs=0.05)
    assert work["precision"] == "fp32"


def test_inputs_of_several_sizes_count_with_their_mean() -> None:
    model = nn.Linear(4, 8).to(torch.bfloat16)
    batches = [[((torch.zeros(rows, 4, dtype=torch.bfloat16),), {})] for rows in (1, 3)]
    work = count(model, batches)
    assert work["flop"] == 2 * (2 * 4 * 8)
    assert work["activation_bytes"] == 2 * (2 * 8 * 2)
    assert work["weight_bytes"] == 2 * (4 * 8 + 8)
    assert work["precision"] == "bf16"


def test_a_forward_pass_without_layers_has_no_precision() -> None:
    assert count(lambda x: x, [[((1,), {})]]) == {
        "flop": 0,
        "activation_bytes": 0,
        "weight_bytes": 0,
        "precision": None,
    }
