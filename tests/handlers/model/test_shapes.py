"""Ready shapes: which one a batch is padded to, and what is done for them at load."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handlers.model import shapes
from handlers.model.settings import SettingsError
from handlers.model.shapes import doubling, fit, make_ready, portions, warm_up

ready_sizes = st.sets(st.integers(1, 64), min_size=1).map(sorted).map(tuple)


class TestChoice:
    @given(size=st.integers(1, 64), ready=ready_sizes)
    def test_is_the_smallest_that_holds_it(self, size: int, ready: tuple[int, ...]) -> None:
        holding = [candidate for candidate in ready if candidate >= size]
        assert fit(size, ready) == min(holding, default=size)

    def test_is_the_size_itself_where_nothing_was_made_ready(self) -> None:
        assert fit(5, None) == 5

    @given(largest=st.integers(1, 1000), smallest=st.integers(1, 1000))
    def test_by_default_less_than_doubles_a_size(self, largest: int, smallest: int) -> None:
        sizes = doubling(largest, smallest=smallest)
        assert sizes[-1] == largest
        assert all(a < b <= 2 * a for a, b in pairwise(sizes))


class TestPortions:
    @given(count=st.integers(1, 300), ready=ready_sizes)
    def test_hold_all_inputs_in_ready_sizes(self, count: int, ready: tuple[int, ...]) -> None:
        passes = portions(count, ready)
        assert sum(inputs for inputs, _ in passes) == count
        assert all(rows in ready and inputs <= rows for inputs, rows in passes)
        assert all(inputs == rows == ready[-1] for inputs, rows in passes[:-1])

    def test_are_one_pass_where_nothing_was_made_ready(self) -> None:
        assert portions(9, None) == [(9, 9)]


class TestMakingReady:
    def test_runs_the_smallest_shape_once_where_nothing_is_compiled(self) -> None:
        seen: list[tuple[int, ...]] = []

        def network(inputs: torch.Tensor) -> torch.Tensor:
            assert torch.is_inference_mode_enabled()
            seen.append(tuple(inputs.shape))
            return inputs

        assert make_ready(network, [torch.zeros(4, 2), torch.zeros(1, 2)], "none") is network
        assert seen == [(1, 2)]

    def test_refuses_cuda_graphs_without_a_gpu(self) -> None:
        with pytest.raises(SettingsError, match="cuda_graphs failed: CUDA graphs are for GPUs"):
            make_ready(lambda inputs: inputs, [torch.zeros(1)], "cuda_graphs")

    def test_names_the_remedy_where_the_compiler_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("no C++ compiler\nand many more lines")

        monkeypatch.setattr(torch, "compile", fail)
        with pytest.raises(SettingsError, match=r"torch_compile failed: no C\+\+ compiler\. It needs"):
            make_ready(lambda inputs: inputs, [torch.zeros(1)], "torch_compile")

    def test_compiles_for_the_ready_shapes_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch, "compile", lambda network, dynamic: lambda inputs: network(inputs) + 1)
        network = make_ready(lambda inputs: inputs, [torch.zeros(2), torch.zeros(4)], "torch_compile")
        assert [float(network(torch.zeros(size)).max()) for size in (2, 3, 4)] == [1, 0, 1]


class TestWarmUp:
    def test_runs_every_network_on_every_example_on_a_gpu_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, int]] = []

        def masked(inputs: torch.Tensor) -> torch.Tensor:
            seen.append(("masked", len(inputs)))
            return inputs

        def unmasked(inputs: torch.Tensor) -> torch.Tensor:
            seen.append(("unmasked", len(inputs)))
            if len(inputs) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return inputs

        examples = [torch.zeros(1, 8), torch.zeros(64, 512)]
        warm_up([masked, unmasked], examples)
        assert seen == []
        monkeypatch.setattr(shapes, "LOAD_LAZILY", ("cpu",))
        warm_up([masked, unmasked], examples)
        assert seen == [("masked", 1), ("unmasked", 1), ("masked", 64), ("unmasked", 64)]
