"""What the makers of GPUs promise: peak operations and bytes a second, a row and a source for each card.

Dense figures: where a datasheet tells those "with sparsity", half of them. A GeForce's half precision is
summed in single precision, as torch does. Nothing here is measured.
"""

import re
from dataclasses import dataclass

from experiments.results.roofline import Peaks


@dataclass(frozen=True, slots=True)
class Card:
    """A row of the table. `names` matches the whole of what NVML calls it; TFLOPS by precision, GB/s.

    A precision that the card has no fast path for, or that its source does not tell, is missing.
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

A10 = "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/a10-datasheet.pdf"
A10G = "https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf"
A30 = "https://www.nvidia.com/content/dam/en-zz/Solutions/data-center/products/a30-gpu/pdf/a30-datasheet.pdf"
A40 = "https://images.nvidia.cn/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf"
L40 = "https://www.nvidia.com/en-us/data-center/l40/"
L40S = "https://www.nvidia.com/en-us/data-center/l40s/"
GA102 = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf"
ADA = "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf"
ADA_6000 = "https://resources.nvidia.com/en-us-briefcase-for-datasheets/rtx-5000-ada-datashe"
BLACKWELL_6000 = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/data-center/rtx-pro-6000-blackwell-workstation-edition/"
    "workstation-blackwell-rtx-pro-6000-workstation-edition-nvidia-us-3519208-web.pdf"
)
TURING = (
    "https://images.nvidia.com/aem-dam/en-zz/Solutions/design-visualization/technologies/turing-architecture/"
    "NVIDIA-Turing-Architecture-Whitepaper.pdf"
)
B200 = "https://resources.nvidia.com/en-us-blackwell-architecture (HGX B200)"

HOPPER_SXM = {"fp32": 67, "tf32": 989.5 / 2, "fp16": 1979 / 2, "bf16": 1979 / 2}
HOPPER_NVL = {"fp32": 60, "tf32": 835 / 2, "fp16": 1671 / 2, "bf16": 1671 / 2}
HOPPER_PCIE = {"fp32": 51, "tf32": 756 / 2, "fp16": 1513 / 2, "bf16": 1513 / 2}
AMPERE = {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312}
# The L40S's sheet tells half precision as "362.05 | 733": 733 is twice 366.5, as tf32's 366 is twice 183.
L40S_TFLOPS = {"fp32": 91.6, "tf32": 366 / 2, "fp16": 733 / 2, "bf16": 733 / 2}
# Both sheets tell one figure: in 8 bits with sparsity (1457), in 4 bits with sparsity (4000). A rate halves
# with sparsity left out, and with each doubling of the bits.
ADA_6000_TFLOPS = {"fp32": 91.1, "tf32": 1457 / 8, "fp16": 1457 / 4, "bf16": 1457 / 4}
BLACKWELL_6000_TFLOPS = {"fp32": 125, "tf32": 4000 / 16, "fp16": 4000 / 8, "bf16": 4000 / 8}
# In tf32 the sheet's 2.2 PFLOPS with sparsity are 2.25 rounded: half of the 4.5 in fp16.
B200_TFLOPS = {"fp32": 75, "tf32": 4500 / 4, "fp16": 4500 / 2, "bf16": 4500 / 2}

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
    # The rest was read in others' copies of the document that is named.
    Card(r"NVIDIA A10", {"fp32": 31.2, "tf32": 62.5, "fp16": 125, "bf16": 125}, 600, A10),
    Card(r"NVIDIA A10G", {"fp32": 35, "tf32": 35, "fp16": 70}, 600, A10G),
    Card(r"NVIDIA A30", {"fp32": 10.3, "tf32": 82, "fp16": 165, "bf16": 165}, 933, A30),
    Card(r"NVIDIA A40", {"fp32": 37.4, "tf32": 74.8, "fp16": 149.7, "bf16": 149.7}, 696, A40),
    Card(r"NVIDIA RTX A6000", {"fp32": 38.7, "tf32": 77.4, "fp16": 154.8, "bf16": 154.8}, 768, GA102),
    Card(r"NVIDIA GeForce RTX 3090", {"fp32": 35.6, "tf32": 35.6, "fp16": 71, "bf16": 71}, 936, GA102),
    Card(r"NVIDIA L40", {"fp32": 90.5, "tf32": 90.5, "fp16": 181.05, "bf16": 181.05}, 864, L40),
    Card(r"NVIDIA L40S", L40S_TFLOPS, 864, L40S),
    Card(r"NVIDIA RTX 6000 Ada Generation", ADA_6000_TFLOPS, 960, ADA_6000),
    Card(r"NVIDIA GeForce RTX 4090", {"fp32": 82.6, "tf32": 82.6, "fp16": 165.2, "bf16": 165.2}, 1008, ADA),
    Card(r"NVIDIA RTX PRO 6000 Blackwell Workstation Edition", BLACKWELL_6000_TFLOPS, 1792, BLACKWELL_6000),
    Card(r"NVIDIA B200", B200_TFLOPS, 7700, B200),
    Card(r"NVIDIA GeForce RTX 2080 Ti", {"fp32": 14.2, "fp16": 56.9}, 616, TURING),
)


def peaks_of(name: str, precision: str | None) -> Peaks | None:
    """The peaks of the card that NVML calls `name`; None for one, or a precision of it, not in the table."""
    for card in CARDS:
        if re.fullmatch(card.names, name) and precision in card.tflops:
            return Peaks(card.tflops[precision] * 1e12, card.gigabytes_per_s * 1e9, card.source)
    return None
