"""What the makers of GPUs promise: peak operations and bytes a second, a row and a source for each card.

Dense figures: where a datasheet tells those "with sparsity", half of them. Nothing here is measured.
"""

import re
from dataclasses import dataclass

from experiments.results.roofline import Peaks


@dataclass(frozen=True, slots=True)
class Card:
    """A row of the table. `names` matches the whole of what NVML calls it; TFLOPS by precision, GB/s.

    A precision that the card has no fast path for is missing.
    """

    names: str
    tflops: dict[str, float]
    gigabytes_per_s: float
    source: str


H200 = "https://www.nvidia.com/en-us/data-center/h200/"
H100 = "https://www.nvidia.com/en-us/data-center/h100/"
H100_PCIE = "https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet (2023)"
A100 = "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
A100_40 = (
    "https://images.nvidia.com/aem-dam/en-zz/Solutions/data-center/nvidia-ampere-architecture-whitepaper.pdf"
)
L4 = "https://www.nvidia.com/en-us/data-center/l4/"
T4 = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/tesla-t4/t4-tensor-core-product-brief.pdf"
)
V100 = (
    "https://images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf"
)

HOPPER_SXM = {"fp32": 67, "tf32": 989.5 / 2, "fp16": 1979 / 2, "bf16": 1979 / 2}
HOPPER_NVL = {"fp32": 60, "tf32": 835 / 2, "fp16": 1671 / 2, "bf16": 1671 / 2}
HOPPER_PCIE = {"fp32": 51, "tf32": 756 / 2, "fp16": 1513 / 2, "bf16": 1513 / 2}
AMPERE = {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312}

CARDS = (
    Card(r"NVIDIA H200", HOPPER_SXM, 4800, H200),
    Card(r"NVIDIA H200 NVL", HOPPER_NVL, 4800, H200),
    Card(r"NVIDIA H100 80GB HBM3", HOPPER_SXM, 3350, H100),
    Card(r"NVIDIA H100 NVL", HOPPER_NVL, 3900, H100),
    Card(r"NVIDIA H100 PCIe", HOPPER_PCIE, 2000, H100_PCIE),
    Card(r"(NVIDIA )?A100-(SXM4|PCIE)-40GB", AMPERE, 1555, A100_40),
    Card(r"(NVIDIA )?A100-SXM4-80GB", AMPERE, 2039, A100),
    Card(r"NVIDIA A100 80GB PCIe", AMPERE, 1935, A100),
    Card(r"NVIDIA L4", {"fp32": 30.3, "tf32": 120 / 2, "fp16": 242 / 2, "bf16": 242 / 2}, 300, L4),
    Card(r"Tesla T4", {"fp32": 8.1, "fp16": 65}, 320, T4),
    Card(r"Tesla V100-SXM[23]-(16|32)GB(-LS)?", {"fp32": 15.7, "fp16": 125}, 900, V100),
    Card(r"Tesla V100-PCIE-(16|32)GB", {"fp32": 14, "fp16": 112}, 900, V100),
    Card(r"Tesla V100S-PCIE-32GB", {"fp32": 16.4, "fp16": 130}, 1134, V100),
)


def peaks_of(name: str, precision: str | None) -> Peaks | None:
    """The peaks of the card that NVML calls `name`; None for one, or a precision of it, not in the table."""
    for card in CARDS:
        if re.fullmatch(card.names, name) and precision in card.tflops:
            return Peaks(card.tflops[precision] * 1e12, card.gigabytes_per_s * 1e9, card.source)
    return None
