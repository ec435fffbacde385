"""The ResNet50 handler, driven as a TorchServe worker drives it, against transformers' own preprocessing."""

import base64
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from matplotlib import cbook
from PIL import Image
from PIL.Image import Transpose
from transformers import AutoImageProcessor, ResNetForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

from handlers.archive.checkpoints import IMAGENET_RECIPE
from handlers.image import pixels
from handlers.image.recipe import resolve
from handlers.resnet50 import ResNet50Handler
from tests.support.checkpoints import tiny_resnet
from tests.support.worker import a_context, handle

A_LEVEL = 1 / 255 / 0.224  # one of the 256 levels of a colour, normalised

PHOTOGRAPH = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_resnet(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that prefers one label clearly; with plain random weights all are about as probable."""
    return tiny_resnet(tmp_path_factory.mktemp("decided"), decision=8)


def a_handler(folder: Path, **settings: Any) -> tuple[ResNet50Handler, Any]:
    handler, context = ResNet50Handler(), a_context(folder, "image", **settings)
    handler.initialize(context)
    return handler, context


def a_photograph(width: int, height: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.open(PHOTOGRAPH).convert("RGB").resize((width, height)).save(file, form, compress_level=1)
    return file.getvalue()


def many_photographs(count: int, edge: int | None = None) -> list[bytes]:
    """Different crops of the photograph, turned and mirrored, and scaled up where `edge` is given."""
    image, random = Image.open(PHOTOGRAPH).convert("RGB"), Random(0)
    bodies = []
    for _ in range(count):
        size, left, top = random.randint(60, 300), random.randint(0, 200), random.randint(0, 290)
        crop = image.crop((left, top, left + size, top + size)).transpose(random.choice(list(Transpose)))
        if edge:
            crop = crop.resize((edge, edge))
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=90)
        bodies.append(file.getvalue())
    return bodies


def processed(folder: Path, body: bytes) -> torch.Tensor:
    """1 x 3 x edge x edge, by transformers alone."""
    processor = ConvNextImageProcessorPil.from_pretrained(folder)
    image = Image.open(io.BytesIO(body)).convert("RGB")
    pixels: torch.Tensor = processor(image, return_tensors="pt")["pixel_values"]
    return pixels


def directly(folder: Path, body: bytes) -> dict[str, float]:
    """label -> probability of one image, by transformers alone."""
    model = ResNetForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        probabilities = model(processed(folder, body)).logits[0].softmax(-1).tolist()
    return {model.config.id2label[i]: p for i, p in enumerate(probabilities)}


def as_dict(prediction: list[dict[str, Any]]) -> dict[str, float]:
    return {entry["label"]: entry["probability"] for entry in prediction}


def pixel_differences(handler: ResNet50Handler, body: bytes, expected: torch.Tensor) -> torch.Tensor:
    """Between what the handler gives its model and what is expected, pixel by pixel, without their signs."""
    found = handler.normalise(handler.preprocess([handler.read_item(body)]).pixels)
    return (found - expected).abs()


class TestPredictions:
    @pytest.mark.thorough
    def test_are_those_of_a_direct_forward_pass(self, folder: Path) -> None:
        handler, context = a_handler(folder, top_k=10)
        bodies = [PHOTOGRAPH.read_bytes(), a_photograph(300, 260), a_photograph(100, 500)]
        for body, (status, prediction) in zip(
            bodies, handle(handler, context, [{"body": body} for body in bodies]), strict=True
        ):
            assert status == 200
            assert as_dict(prediction) == pytest.approx(directly(folder, body), abs=1e-5)

    def test_are_the_top_k_sorted(self, folder: Path) -> None:
        handler, context = a_handler(folder, top_k=3)
        [(_, prediction)] = handle(handler, context, [{"body": PHOTOGRAPH.read_bytes()}])
        everything = sorted(directly(folder, PHOTOGRAPH.read_bytes()).values(), reverse=True)
        assert [entry["probability"] for entry in prediction] == pytest.approx(everything[:3], abs=1e-5)

    def test_are_five_unless_told_and_never_more_than_there_are_labels(self, folder: Path) -> None:
        for settings, expected in (({}, 5), ({"top_k": 99}, 10)):
            handler, context = a_handler(folder, **settings)
            [(_, prediction)] = handle(handler, context, [{"body": PHOTOGRAPH.read_bytes()}])
            assert len(prediction) == expected


class TestHalfPrecision:
    @pytest.mark.thorough
    def test_gives_the_answers_of_fp32_within_two_hundredths(self, decided: Path) -> None:
        exact, _ = a_handler(decided)
        rounded, _ = a_handler(decided, precision="bf16")
        images = [exact.read_item(body) for body in many_photographs(200)]
        expected, found = (handler.forward(handler.preprocess(images)) for handler in (exact, rounded))
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 2e-2
        assert (found.argmax(-1) == expected.argmax(-1)).float().mean() >= 0.99


class TestLargePhotographs:
    @pytest.mark.thorough
    def test_get_the_answers_of_a_full_decode_within_two_hundredths(
        self, decided: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handler, _ = a_handler(decided)
        bodies = many_photographs(100, edge=1030)
        found = handler.forward(handler.preprocess([handler.read_item(body) for body in bodies]))
        monkeypatch.setattr(pixels, "draft", lambda *_: None)
        expected = handler.forward(handler.preprocess([handler.read_item(body) for body in bodies]))
        assert 0 < (found - expected).abs().max() < 2e-2
        assert (found.argmax(-1) == expected.argmax(-1)).float().mean() >= 0.99


class TestPreprocessing:
    @pytest.mark.parametrize(
        "size",
        [(640, 480), (480, 640), (224, 224), (257, 301), (31, 20), (30, 900), (1100, 300), (300, 1100)],
    )
    def test_matches_transformers_pixel_by_pixel(self, folder: Path, size: tuple[int, int]) -> None:
        """But for one level in one of a thousand pixels."""
        handler, _ = a_handler(folder)
        body = a_photograph(*size)
        differences = pixel_differences(handler, body, processed(folder, body))
        assert differences.max() < 1.01 * A_LEVEL
        assert (differences > 1e-5).float().mean() < 1e-3

    def test_of_a_large_jpeg_is_close(self, folder: Path) -> None:
        handler, _ = a_handler(folder)
        body = a_photograph(1300, 1100, "JPEG")
        differences = pixel_differences(handler, body, processed(folder, body))
        assert differences.max() < 6 * A_LEVEL
        assert differences.mean() < 0.5 * A_LEVEL

    @pytest.mark.thorough
    def test_decodes_a_large_jpeg_smaller_and_other_formats_whole(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[tuple[int, int]] = []
        decode = pixels.decode
        monkeypatch.setattr(pixels, "decode", lambda image: sizes.append(image.size) or decode(image))
        handler, _ = a_handler(folder)
        for form in ("JPEG", "PNG"):
            handler.read_item(a_photograph(2201, 1100, form))
        assert sizes == [(1101, 550), (2201, 1100)]

    @pytest.mark.thorough
    def test_turns_a_large_jpeg_upright(self, folder: Path) -> None:
        handler, _ = a_handler(folder)
        exif, file = Image.Exif(), io.BytesIO()
        exif[0x0112] = 6  # the camera was held sideways
        wide = Image.open(PHOTOGRAPH).convert("RGB").resize((2000, 1200))
        wide.save(file, "JPEG", exif=exif, quality=95)
        upright = io.BytesIO()
        wide.transpose(Transpose.ROTATE_270).save(upright, "PNG", compress_level=1)
        difference = handler.read_item(file.getvalue()).astype(int) - handler.read_item(upright.getvalue())
        assert abs(difference).mean() < 1

    @pytest.mark.thorough
    @pytest.mark.parametrize("threads", [1, 3])
    def test_keeps_the_order_on_any_number_of_threads(
        self, folder: Path, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        handler, context = a_handler(folder, top_k=10)
        bodies = many_photographs(6)
        answers = handle(handler, context, [{"body": body} for body in bodies])
        for body, (_, prediction) in zip(bodies, answers, strict=True):
            assert as_dict(prediction) == pytest.approx(directly(folder, body), abs=1e-5)

    @pytest.mark.thorough
    def test_holds_one_large_image_at_a_time(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        held, most = [0], [0]
        decode = pixels.decode

        def slowly(image: Image.Image) -> Image.Image:
            held[0] += 1
            most[0] = max(most[0], held[0])
            found = decode(image)
            held[0] -= 1
            return found

        monkeypatch.setattr(pixels, "decode", slowly)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
        handler, context = a_handler(folder)
        large = a_photograph(2400, 1700)
        answers = handle(handler, context, [{"body": large}] * 4)
        assert [status for status, _ in answers] == [200] * 4
        assert most == [1]

    @pytest.mark.thorough
    @pytest.mark.parametrize("edge", [64, 384])
    def test_follows_the_checkpoints_recipe(self, tmp_path: Path, edge: int) -> None:
        folder = tiny_resnet(tmp_path, edge=edge)
        handler, _ = a_handler(folder)
        body = a_photograph(500, 400)
        assert handler.read_item(body).shape == (edge, edge, 3)
        differences = pixel_differences(handler, body, processed(folder, body))
        assert (differences > 1e-5).float().mean() < 1e-3

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        ("recipe", "shape"),
        [
            ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 96, "resample": 3}, (96, 96)),
            ({"image_processor_type": "BitImageProcessor", "crop_size": [64, 96]}, (64, 96)),
        ],
    )
    def test_follows_recipes_of_other_years_and_processors(
        self, tmp_path: Path, recipe: dict[str, Any], shape: tuple[int, int]
    ) -> None:
        folder, body = tiny_resnet(tmp_path), a_photograph(500, 400)
        (folder / "preprocessor_config.json").write_text(json.dumps(recipe))
        handler, context = a_handler(folder)
        [(status, _)] = handle(handler, context, [{"body": body}])
        assert (status, handler.read_item(body).shape) == (200, (*shape, 3))
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        expected = processor(Image.open(io.BytesIO(body)), return_tensors="pt")["pixel_values"]
        differences = pixel_differences(handler, body, expected)
        assert (differences > 1e-5).float().mean() < 1e-3

    @pytest.mark.parametrize("resample", range(6))
    def test_of_a_large_jpeg_is_close_with_every_filter(self, resample: int) -> None:
        recipe = IMAGENET_RECIPE | {"resample": resample, "do_normalize": False, "do_rescale": False}
        image = Image.open(PHOTOGRAPH).convert("RGB").resize((1300, 1100))
        file = io.BytesIO()
        image.save(file, "JPEG")
        found = pixels.scaled_and_cut(Image.open(file), resolve(recipe)).astype(int)
        expected = ConvNextImageProcessorPil.from_dict(recipe)(Image.open(file), return_tensors="np")
        differences = abs(found.transpose(2, 0, 1) - expected["pixel_values"][0])
        assert differences.max() < 9
        assert differences.mean() < 0.5


class TestBatch:
    def test_is_one_forward_pass_over_all_images(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        shapes = []
        handler.runtime.model.register_forward_pre_hook(
            lambda _module, _args, kwargs: shapes.append(tuple(kwargs["pixel_values"].shape)),
            with_kwargs=True,
        )
        two = {"instances": [{"b64": base64.b64encode(a_photograph(60, 50)).decode()}] * 2}
        (_, single), (_, several) = handle(handler, context, [{"body": a_photograph(60, 50)}, {"body": two}])
        assert shapes == [(3, 3, 224, 224)]
        assert as_dict(several["predictions"][1]) == pytest.approx(as_dict(single), abs=1e-5)

    def test_answers_the_good_when_others_are_bad(self, folder: Path) -> None:
        handler, context = a_handler(folder)
        good = a_photograph(60, 50)
        rows = [
            {"body": good[:-99]},
            {"body": good},
            {"body": b"not an image!"},
            {"body": a_photograph(990, 3)},
        ]
        answers = handle(handler, context, rows)
        assert [status for status, _ in answers] == [415, 200, 415, 400]
        alone = handle(handler, context, [{"body": good}])
        assert as_dict(answers[1][1]) == pytest.approx(as_dict(alone[0][1]), abs=1e-5)

    def test_obeys_the_limits_in_the_yaml(self, folder: Path) -> None:
        handler, context = a_handler(folder, limits={"image_pixels": 2000})
        answers = handle(handler, context, [{"body": a_photograph(50, 40)}, {"body": a_photograph(50, 41)}])
        assert [status for status, _ in answers] == [200, 413]
