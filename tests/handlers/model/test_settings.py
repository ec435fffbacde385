"""model-config.yaml's `handler:` section, and the environment that wins over it."""

from typing import Any

import pytest
import yaml

from handlers.archive.archives import HERE, NAMES
from handlers.model.settings import Settings, SettingsError, Shapes, settings_of
from handlers.request.payload import Limits


def settings(**section: Any) -> Settings:
    return settings_of({"handler": section})


class TestDefaults:
    def test_serve_a_foreign_archive_that_has_no_section(self) -> None:
        assert settings_of({}) == Settings()

    @pytest.mark.parametrize("name", NAMES.values())
    def test_are_what_the_shipped_files_say(self, name: str) -> None:
        shipped = settings_of(yaml.safe_load((HERE / "model-config" / f"{name}.yaml").read_text()))
        assert (shipped.precision, shipped.compile, shipped.shapes) == ("fp32", "none", Shapes())
        assert (shipped.threads, shipped.thread_percentage, shipped.pad_to_multiple_of) == (None, None, 1)


class TestValues:
    def test_of_every_key_arrive(self) -> None:
        given = settings(
            precision="fp16",
            compile="cuda_graphs",
            tuned=False,
            shapes={"batch_sizes": [8, 1, 8], "lengths": 64},
            pad_to_multiple_of=8,
            threads=2,
            thread_percentage=25,
            cores=[1, 0],
            turns="/run/part-0",
            top_k=3,
            pooling="cls",
            limits={"instances": 4},
        )
        shapes = Shapes(batch_sizes=(1, 8), lengths=(64,))
        assert given == Settings(
            "fp16",
            "torch",
            "cuda_graphs",
            False,
            shapes,
            8,
            2,
            25,
            (0, 1),
            "/run/part-0",
            3,
            "cls",
            Limits(instances=4),
        )

    @pytest.mark.parametrize(
        ("section", "told"),
        [
            ({"precison": "fp32"}, "handler has no precison; it has precision, "),
            ({"limits": {"text_byte": 5}}, "handler.limits has no text_byte;"),
            ({"shapes": [8]}, r"handler.shapes must hold keys with values, not \[8\]"),
            ({"precision": "fp99"}, "handler.precision: fp99: choose one of fp32, tf32, fp16, bf16"),
            ({"compile": None}, "handler.compile: None: choose one of none, torch_compile, cuda_graphs"),
            ({"engine": "onnx"}, "handler.engine: onnx: choose one of torch, torch-compile, onnxruntime"),
            ({"engine": "tensorrt"}, "handler.engine: tensorrt needs an NVIDIA GPU"),
            ({"precision": "int8"}, "handler.precision: torch has no int8: choose one of fp32, tf32"),
            ({"engine": "onnxruntime", "precision": "bf16"}, "onnxruntime has no bf16: choose one of fp32"),
            ({"engine": "openvino", "compile": "torch_compile"}, "torch_compile is for torch, not openvino"),
            ({"engine": "torch-compile", "compile": "cuda_graphs"}, "cuda_graphs or handler.engine: torch-"),
            ({"pooling": "best"}, "handler.pooling: best: choose one of mean, cls, max"),
            ({"thread_percentage": 101}, "thread_percentage: 101: give a whole number from 1 to 100"),
            ({"thread_percentage": 0}, "from 1 to 100"),
            ({"cores": [-1]}, r"cores: \[-1\]: list the numbers of cores"),
            ({"cores": 2}, "cores: 2: list the numbers of cores"),
            ({"turns": 1}, "turns: 1: give the path of a file"),
            ({"threads": 1.5}, "threads: 1.5: give a whole number of 1 or more"),
            ({"tuned": "no"}, "tuned: no: say true or false"),
            ({"top_k": True}, "top_k: True"),
            ({"shapes": {"lengths": []}}, "shapes.lengths is empty"),
            ({"shapes": {"batch_sizes": "8"}}, "shapes.batch_sizes: 8: give a whole number"),
            ({"limits": {"instances": 0}}, "limits.instances: 0"),
        ],
    )
    def test_that_make_no_sense_stop_the_load(self, section: dict[str, Any], told: str) -> None:
        with pytest.raises(SettingsError, match=told):
            settings(**section)


class TestEnvironment:
    def test_wins_over_the_archive(self) -> None:
        config = {"handler": {"precision": "fp16"}}
        given = settings_of(config, {"HANDLER_PRECISION": "bf16", "HANDLER_COMPILE": "torch_compile"})
        assert (given.precision, given.compile) == ("bf16", "torch_compile")

    def test_names_the_engine_too(self) -> None:
        given = settings_of({}, {"HANDLER_ENGINE": "openvino", "HANDLER_PRECISION": "bf16"})
        assert (given.engine, given.precision) == ("openvino", "bf16")

    def test_that_asks_for_torch_compile_is_what_compile_is(self) -> None:
        assert settings_of({}, {"HANDLER_ENGINE": "torch-compile"}).compile == "torch_compile"

    def test_that_is_empty_leaves_the_archives(self) -> None:
        assert settings_of({"handler": {"precision": "fp16"}}, {"HANDLER_PRECISION": ""}).precision == "fp16"

    def test_is_named_where_it_is_wrong(self) -> None:
        with pytest.raises(SettingsError, match="HANDLER_PRECISION: fp8: choose one of fp32"):
            settings_of({}, {"HANDLER_PRECISION": "fp8"})
