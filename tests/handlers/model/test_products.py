"""A network's products are checked one by one: a fault of the kind seen on Hopper is found in each."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear
from torch.overrides import TorchFunctionMode

from handlers.archive import archives
from handlers.bert import BertHandler
from handlers.model import products
from handlers.model.devices import DeviceError
from handlers.model.products import refuse_wrong_products, wrong_product
from handlers.model.shapes import Network
from handlers.resnet50 import ResNet50Handler
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.worker import a_context

GPU = torch.device("cuda", 0)
A_SHARE = SimpleNamespace(multi_processor_count=52)


class Unwritten(TorchFunctionMode):
    """Products with weights of such a shape leave their last columns as they lie in memory."""

    def __init__(self, weights: tuple[int, ...], columns: int, remains: float = torch.nan) -> None:
        super().__init__()
        self.weights, self.columns, self.remains = weights, columns, remains

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in (linear, conv2d) and tuple(args[1].shape) == self.weights:
            found.movedim(1, -1)[..., -self.columns :] = self.remains
        return found


def a_linear_network(dtype: torch.dtype = torch.bfloat16) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 32, bias=False)).to(dtype)
    return layers, torch.randn(24, 64, dtype=dtype)


def a_convolution(dtype: torch.dtype = torch.bfloat16) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 64, 1, bias=False)
    )
    return layers.to(dtype), torch.randn(2, 3, 20, 20, dtype=dtype)


NETWORKS = [(a_linear_network, (32, 256)), (a_convolution, (64, 16, 1, 1))]
Made = Callable[..., tuple[Network, torch.Tensor]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("made", [made for made, _ in NETWORKS])
def test_products_that_are_right_pass(made: Made, dtype: torch.dtype) -> None:
    network, example = made(dtype)
    assert wrong_product(network, [example, example[:1]]) is None


@pytest.mark.parametrize("remains", [torch.nan, torch.inf, 0.0, 7.0])
@pytest.mark.parametrize(("made", "weights"), NETWORKS)
def test_one_that_is_partly_unwritten_is_named(made: Made, weights: tuple[int, ...], remains: float) -> None:
    network, example = made()
    with Unwritten(weights, columns=2, remains=remains):
        assert "x".join(map(str, weights)) in str(wrong_product(network, [example]))


def test_a_network_answers_as_before_while_it_is_checked() -> None:
    network, example = a_linear_network()
    answers = []
    wrong_product(lambda given: answers.append(network(given)) or answers[0], [example])
    with torch.inference_mode():
        assert torch.equal(answers[0], network(example))


def test_a_gpu_with_wrong_products_is_refused_in_half_precision_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: A_SHARE)
    network, example = a_linear_network()
    with Unwritten((32, 256), columns=2):
        refuse_wrong_products(network, [example], torch.device("cpu"), torch.bfloat16)
        refuse_wrong_products(network, [example], GPU, torch.float32)
        with pytest.raises(
            DeviceError, match=r"24x256 by 32x256 .* with 52 multiprocessors: this share"
        ) as told:
            refuse_wrong_products(network, [example], GPU, torch.bfloat16)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("kind", "handler", "made", "weights"),
    [("text", BertHandler, tiny_bert, (64, 32)), ("image", ResNet50Handler, tiny_resnet, (32, 8, 1, 1))],
)
def test_a_handler_whose_gpu_calculates_wrongly_does_not_load(
    kind: archives.Kind,
    handler: Any,
    made: Any,
    weights: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the CPU, which is taken for a GPU here."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: A_SHARE)
    monkeypatch.setattr(products, "DEVICES", ("cpu",))
    with Unwritten(weights, columns=1), pytest.raises(DeviceError, match="gives wrong answers"):
        handler().initialize(a_context(made(tmp_path), kind, precision="bf16", tuned=False))
