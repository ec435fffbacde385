"""The benchmarks' own logic: turns, ratios, what counts as a choice, and the requests they make."""

import io
import json
import zipfile
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import settings
from benchmarks.families import checkpoints, compared
from benchmarks.load_generator import Figures, median
from benchmarks.parts.interleaved import Comparison, compare, take_turns
from benchmarks.parts.malformed import Sent, png_bomb, requests_of
from benchmarks.parts.models import photographs, with_handler
from benchmarks.parts.served import grid
from experiments.base.paths import ROOT
from experiments.serving.torchserve.start import SETTINGS

throughputs_rps = st.lists(st.floats(1.0, 1e5), min_size=1, max_size=9)


class TestTurns:
    def test_every_second_round_goes_the_other_way_round(self) -> None:
        clock = count()
        runs = take_turns({name: lambda: next(clock) for name in "abc"}, rounds=3)
        assert runs == {"a": [0, 5, 6], "b": [1, 4, 7], "c": [2, 3, 8]}

    def test_the_ratio_is_of_neighbours_so_that_a_slow_machine_cancels_out(self) -> None:
        slowness = [1.0, 0.1, 1.0, 0.5, 1.0]  # another program ran during rounds 2 and 4
        comparison = Comparison([20.0 * s for s in slowness], [10.0 * s for s in slowness])
        assert comparison.ratio == pytest.approx(2.0)
        assert comparison.range == pytest.approx((2.0, 2.0))

    def test_ours_is_measured_against_the_other_run_by_run(self) -> None:
        ours, other = iter([3.0, 2.0, 4.0]), iter([1.0, 2.0, 1.0])
        comparison = compare(lambda: next(ours), lambda: next(other), rounds=3)
        assert comparison == Comparison([3.0, 2.0, 4.0], [1.0, 2.0, 1.0])
        assert comparison.ratio == 3.0
        assert str(comparison) == "3.0 against 1.0 requests/s: 3.000 (1.000 to 4.000 in 3 rounds)"

    @given(throughputs_rps)
    def test_a_rival_is_as_fast_as_itself(self, runs: list[float]) -> None:
        assert Comparison(runs, runs).ratio == 1.0

    @given(throughputs_rps, st.floats(0.01, 100.0))
    def test_the_ratio_lies_in_its_range(self, runs: list[float], factor: float) -> None:
        comparison = Comparison([factor * run for run in runs], list(reversed(runs)))
        least, most = comparison.range
        assert least <= comparison.ratio <= most

    def test_figures_have_their_median_each_by_itself(self) -> None:
        runs = [Figures(1, 30, 5, 9), Figures(2, 10, 6, 7), Figures(3, 20, 4, 8)]
        assert median(runs) == Figures(2, 20, 5, 8)


class TestSettings:
    def test_the_default_arm_names_every_setting_in_which_the_sweeps_server_differs(self) -> None:
        needed = {
            "enable_model_api",
            "disable_token_authorization",
            "token_expiration_min",
            "install_py_dep_per_model",  # TorchServe's own default
        }
        assert set(SETTINGS) - needed == set(settings.DEFAULT_SETTINGS)

    def test_config_properties_serves_with_the_settings_that_were_measured(self) -> None:
        lines = (ROOT / "config.properties").read_text().splitlines()
        served = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        for key in (
            "metrics_mode",
            "disable_system_metrics",
            "number_of_netty_threads",
            "netty_client_threads",
        ):
            assert served[key] == SETTINGS[key]
        log4j2, *others = served["vmargs"].split()
        assert log4j2 == "-Dlog4j.configurationFile=log4j2.xml"
        assert others == list(settings.OURS.jvm_options[1:])

    def test_the_table_tells_throughput_ratio_and_cpu_of_each_choice(self) -> None:
        comparison = Comparison([2000.0, 3000.0, 4000.0], [1000.0, 1000.0, 1000.0])
        row = settings.Row(settings.Choice("metrics_mode=prometheus"), comparison, 50.4, 180.0)
        assert settings.markdown([row]).splitlines()[-1] == (
            "| metrics_mode=prometheus | 3,000 | 3.00 | 180 -> 50 |"
        )


class TestSetups:
    def test_a_grid_has_every_combination_with_a_batch_waiting_for_each_worker(self) -> None:
        setups = grid(Path("a.mar"), [1, 2], [4, 8])
        assert [(setup.workers, setup.batch_size) for setup in setups] == [(1, 4), (1, 8), (2, 4), (2, 8)]
        assert [setup.connections for setup in setups] == [8, 16, 16, 32]

    def test_the_stock_archive_has_our_weights_but_nothing_else_of_ours(self, tmp_path: Path) -> None:
        ours = tmp_path / "bert.mar"
        model = {"modelName": "bert", "handler": "bert.py", "configFile": "model-config.yaml"}
        with zipfile.ZipFile(ours, "w") as mar:
            for name in ("bert.py", "handlers/model/runtime.py", "model-config.yaml", "model.safetensors"):
                mar.writestr(name, f"our {name}")
            mar.writestr("MAR-INF/MANIFEST.json", json.dumps({"model": model}))
        handler = tmp_path / "stock_text.py"
        handler.write_text("the stock handler")
        with zipfile.ZipFile(with_handler(ours, handler)) as mar:
            assert sorted(mar.namelist()) == ["MAR-INF/MANIFEST.json", "model.safetensors", "stock_text.py"]
            assert mar.read("model.safetensors") == b"our model.safetensors"
            manifest = json.loads(mar.read("MAR-INF/MANIFEST.json"))
        assert manifest["model"] == {"modelName": "bert", "handler": "stock_text.py"}


class TestInputs:
    @pytest.mark.thorough
    @pytest.mark.parametrize("size", [(500, 375), (2000, 1500)])
    def test_photographs_have_the_size_asked_for_and_differ(self, size: tuple[int, int]) -> None:
        bodies = photographs(*size)
        assert {Image.open(io.BytesIO(body.data)).size for body in bodies} == {size}
        assert len({body.data for body in bodies}) == len(bodies) > 1

    def test_a_shape_that_the_photograph_has_not_is_refused(self) -> None:
        with pytest.raises(ValueError, match="taller"):
            photographs(100, 1000)

    @pytest.mark.thorough
    def test_the_bomb_is_a_valid_image_and_a_small_file(self) -> None:
        small = Image.open(io.BytesIO(png_bomb(64)))
        small.load()
        assert small.size == (64, 64)
        assert len(png_bomb()) < 200_000

    @pytest.mark.thorough
    @pytest.mark.parametrize("kind", ["text", "image"])
    def test_every_malformed_request_deserves_a_4xx(self, kind: str) -> None:
        assert all(400 <= status < 500 for malformed in requests_of(kind) for status in malformed.statuses)

    def test_another_answer_than_deserved_is_told(self) -> None:
        sent = Sent({"empty": {"400": 3}, "not UTF-8": {"415": 2, "503": 1}, "10 MB of text": {"200": 1}})
        assert sent.count == 7
        assert list(sent.problems("text")) == [
            "not UTF-8: 1 answers with 503, not (400, 415)",
            "10 MB of text: 1 answers with 200, not (413,)",
        ]


class TestFamilies:
    @pytest.mark.thorough
    def test_a_difference_of_our_answers_is_seen(self, tmp_path: Path) -> None:
        source = checkpoints.classifier("mpnet", tmp_path)
        handler = compared.classifier_served(source)
        inputs = [*compared.TEXTS, *compared.PAIRS[:3]]
        assert compared.off_the_pipeline(handler, source, inputs) < 1e-5
        last = handler.runtime.model.classifier.out_proj
        last.bias.data[0] += 1
        assert compared.off_the_pipeline(handler, source, inputs) > 0.01


@pytest.mark.thorough
class TestStockImage:
    """The re-created transforms: what torchvision documents of Resize, CenterCrop, ToTensor and Normalize."""

    @pytest.fixture
    def stock_image(self) -> ModuleType:
        """Imported here: TorchServe's base handler imports each engine that is there, for a second."""
        return import_module("benchmarks.parts.stock_image")

    def test_the_shorter_side_becomes_256_and_224_are_cut_from_the_middle(
        self, stock_image: ModuleType
    ) -> None:
        assert stock_image.scale(Image.new("RGB", (500, 375))).size == (341, 256)
        assert stock_image.scale(Image.new("RGB", (300, 600))).size == (256, 512)
        assert stock_image.crop_middle(Image.new("RGB", (341, 256))).size == (224, 224)

    def test_pixels_become_floats_channel_by_channel_and_are_normalised(
        self, stock_image: ModuleType
    ) -> None:
        pixels = np.zeros((2, 3, 3), dtype=np.uint8)
        pixels[..., 0] = 255
        tensor = stock_image.to_tensor(Image.fromarray(pixels))
        assert tensor.shape == (3, 2, 3)
        assert tensor.amax(dim=(1, 2)).tolist() == [1.0, 0.0, 0.0]
        normalised = stock_image.normalise(tensor)
        expected = torch.tensor([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])
        torch.testing.assert_close(normalised[:, 0, 0], expected)
