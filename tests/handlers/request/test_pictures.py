"""Pictures as far as they are read before the model sees them: shrunk while they are decoded, or refused."""

import io

import pytest
from PIL import Image

from handlers.request.payload import Limits, decode, draft, image_of
from handlers.request.refusal import PayloadError


def a_jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((width, height), 90).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def refusal_of(body: bytes) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        decode(image_of(body, Limits()))
    return caught.value


@pytest.mark.parametrize(
    ("shorter_side", "size"),
    [
        (600, (800, 600)),
        (301, (800, 600)),
        (300, (400, 300)),
        (150, (200, 150)),
        (149, (200, 150)),
        (75, (100, 75)),
    ],
)
def test_a_jpeg_is_decoded_as_small_as_leaves_the_shorter_side_large_enough(
    shorter_side: int, size: tuple[int, int]
) -> None:
    image = image_of(a_jpeg(800, 600), Limits())
    draft(image, shorter_side)
    assert decode(image).size == size


def test_what_is_cut_off_is_refused_with_what_is_missing() -> None:
    error = refusal_of(a_jpeg(200, 200)[:5000])
    assert error.status == 415
    assert error.reason.startswith("damaged JPEG image: image file is truncated")


def test_grey_in_16_bits_is_refused_as_it_would_come_out_white() -> None:
    file = io.BytesIO()
    Image.new("I;16", (40, 30), 1000).save(file, "PNG")
    error = refusal_of(file.getvalue())
    assert error.status == 415
    assert error.reason.startswith("a 16-bit grey PNG image: convert it to 8 bits")


class Damaged(Image.Image):
    """A picture whose decoder fails in a way of its own."""

    error: Exception = OSError()

    def load(self) -> None:
        raise self.error


def with_error(error: Exception) -> Image.Image:
    image = Damaged()
    image.error = error
    return image


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a tile is missing"), "a tile is missing"),
        (KeyError(), "KeyError"),
        (OSError("x" * 101), "x" * 100),
    ],
)
def test_a_decoders_complaint_is_told_in_a_hundred_characters(error: Exception, told: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode(with_error(error))
    assert caught.value.reason == f"damaged None image: {told}"


def test_memory_that_runs_out_is_no_fault_of_the_client() -> None:
    with pytest.raises(MemoryError):
        decode(with_error(MemoryError()))
