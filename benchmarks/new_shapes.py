"""What does the first batch of a new shape cost on a GPU, with cuDNN's attention and without?

`python -m benchmarks.new_shapes` runs BERT-base in fp16 through transformers, in a process for each of both,
and prints a line of JSON for each: milliseconds of the first and of a later pass over 30 shapes. Why
handlers/model/devices.py leaves cuDNN's attention to shapes that are made ready at load. Needs a GPU.
"""

import json
import subprocess
import sys
import time

import torch
import transformers

SHAPES = [(rows, length) for rows in (1, 2, 3, 5, 8) for length in (16, 23, 47, 64, 100, 128)]


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU here: run this on a machine that has one")
    if len(sys.argv) == 1:
        for cudnn in ("without", "with"):
            subprocess.run([sys.executable, "-m", "benchmarks.new_shapes", cudnn], check=True)
        return
    torch.backends.cuda.enable_cudnn_sdp(sys.argv[1] == "with")
    print(json.dumps({"cudnn_attention": sys.argv[1] == "with", **measure(_model())}))


def measure(model: torch.nn.Module) -> dict[str, object]:
    """The very first pass, and the first and the best of three later ones for each shape, in ms."""
    very_first_ms = _pass_ms(model, 1, 16)
    first_ms, later_ms = [], []
    for rows, length in SHAPES:
        first_ms.append(round(_pass_ms(model, rows, length), 1))
        later_ms.append(round(min(_pass_ms(model, rows, length) for _ in range(3)), 1))
    return {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "very_first_ms": round(very_first_ms, 1),
        "new_shape_first_ms": first_ms,
        "new_shape_later_ms": later_ms,
    }


def _model() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.BertConfig(num_labels=2, attn_implementation="sdpa")
    model: torch.nn.Module = transformers.BertForSequenceClassification(config).half().cuda().eval()
    return model


@torch.inference_mode()
def _pass_ms(model: torch.nn.Module, rows: int, length: int) -> float:
    """One padded batch, its logits on the CPU."""
    ids = torch.randint(5, 30_000, (rows, length), device="cuda")
    mask = torch.ones_like(ids)
    mask[0, length // 2 :] = 0
    torch.cuda.synchronize()
    begin_s = time.perf_counter()
    model(input_ids=ids, attention_mask=mask).logits.cpu()
    return (time.perf_counter() - begin_s) * 1e3


if __name__ == "__main__":
    main()
