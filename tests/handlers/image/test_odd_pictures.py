"""Pictures that no camera takes: the pixels of transformers' own pipeline, or a refusal that says why.

None is answered as if it were another picture. A 16-bit grey PNG is refused: Pillow, and so transformers,
cuts its values off at 255, which makes nearly all of it white; and to scale them takes a guess, since cameras
and scanners that write 16 bits often use 12 or 14 of them.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.image_utils import load_image

from handlers.image.pixels import scaled_and_cut
from handlers.image.recipe import resolve
from handlers.request.payload import Limits, PayloadError, image_of

RECIPE = {"image_processor_type": "ViTImageProcessor", "size": 64, "do_rescale": False, "do_normalize": False}


def a_picture(width: int = 90, height: int = 70) -> Image.Image:
    """Colours that run over the picture, different in all corners."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - (x + y) / 2], axis=-1).astype(np.uint8))


def see_through(image: Image.Image) -> Image.Image:
    """RGBA: opaque on the left, transparent on the right."""
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def a_png(depth: int, colour: int, rows: bytes, width: int, height: int, *more: bytes) -> bytes:
    """A PNG of a depth that Pillow doesn't write. A row begins with a 0, a chunk of `more` with its name."""

    def chunk(content: bytes) -> bytes:
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [header, *more, b"IDAT" + zlib.compress(rows), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, chunks))


def deep_png(channels: int, colour: int) -> bytes:
    """16 bits a channel, all values in use."""
    values = np.random.default_rng(channels).integers(0, 65_536, (30, 40, channels)).astype(">u2")
    return a_png(16, colour, b"".join(b"\0" + row.tobytes() for row in values), 40, 30)


def shallow_png(depth: int) -> bytes:
    """Grey in 2 or 4 bits."""
    rows = np.random.default_rng(depth).integers(0, 256, (30, 5 * depth), np.uint8)
    return a_png(depth, 0, b"".join(b"\0" + row.tobytes() for row in rows), 40, 30)


def frames(mode: str) -> list[Image.Image]:
    return [a_picture().rotate(turn).convert(mode) for turn in (90, 180)]


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(a_picture(), "JPEG", exif=exif)


def served() -> Iterator[tuple[str, bytes]]:
    modes = {mode: a_picture().convert(mode) for mode in ("1", "L", "P", "RGB")}
    modes |= {"RGBA": see_through(a_picture()), "LA": see_through(a_picture()).convert("LA")}
    for mode, image in modes.items():
        yield f"PNG {mode}", saved(image, "PNG")
        yield f"PNG {mode}, of one pixel", saved(image.resize((1, 1)), "PNG")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"BMP {mode}", saved(modes[mode], "BMP")
    yield "PNG P, one colour transparent", saved(modes["P"], "PNG", transparency=3)
    yield "PNG P, colours half transparent", saved(modes["P"], "PNG", transparency=bytes(range(256)))
    yield "PNG L, one grey transparent", saved(modes["L"], "PNG", transparency=100)
    yield "PNG RGB, one colour transparent", saved(modes["RGB"], "PNG", transparency=(0, 0, 255))
    yield "PNG RGB, 16 bits", deep_png(3, 2)
    yield "PNG RGBA, 16 bits", deep_png(4, 6)
    yield "PNG LA, 16 bits", deep_png(2, 4)
    yield from ((f"PNG L, {depth} bits", shallow_png(depth)) for depth in (2, 4))
    yield "APNG", saved(modes["RGB"], "PNG", save_all=True, append_images=frames("RGB"))
    yield "GIF", saved(modes["P"], "GIF")
    yield "GIF L", saved(modes["L"], "GIF")
    yield "GIF, transparent", saved(modes["RGBA"], "GIF")
    yield "GIF, animated", saved(modes["P"], "GIF", save_all=True, append_images=frames("P"))
    for form, lossless in product(("RGB", "RGBA"), (False, True)):
        yield f"WebP {form}, lossless {lossless}", saved(modes[form], "WEBP", lossless=lossless)
    yield "WebP, animated", saved(modes["RGBA"], "WEBP", save_all=True, append_images=frames("RGBA"))
    yield "JPEG L", saved(modes["L"], "JPEG")
    yield "JPEG CMYK", saved(a_picture().convert("CMYK"), "JPEG")
    yield "JPEG, progressive, 4:4:4", saved(modes["RGB"], "JPEG", progressive=True, subsampling=0)
    yield "JPEG MPO", saved(modes["RGB"], "MPO", save_all=True, append_images=frames("RGB"))
    yield "JPEG of one pixel", saved(a_picture(1, 1), "JPEG")
    yield from ((f"JPEG, turned {orientation}", turned(orientation)) for orientation in range(1, 9))
    yield "as wide as is allowed", saved(a_picture(2000, 20), "PNG")
    yield "as high as is allowed", saved(a_picture(20, 2000), "PNG")


def refused() -> Iterator[tuple[str, bytes, int, str]]:
    tiff, deep = "not an image in one of the formats", a_picture().convert("L")
    yield "PNG L, 16 bits", deep_png(1, 0), 415, "16-bit grey"
    yield (
        "PNG L, 16 bits, a grey transparent",
        a_png(16, 0, bytes(9 * 4), 4, 4, b"tRNS\0\1"),
        415,
        "16-bit grey",
    )
    yield "PNG L, 16 bits, dark", saved(Image.new("I;16", (9, 9), 7), "PNG"), 415, "16-bit grey"
    for mode in ("F", "I;16", "I;16B", "I"):
        image = (
            deep.convert("I").convert("I;16").convert(mode) if mode.startswith("I;") else deep.convert(mode)
        )
        yield f"TIFF {mode}", saved(image, "TIFF"), 415, tiff
    yield "too wide", saved(a_picture(2020, 20), "PNG"), 400, "too narrow"
    for form in ("JPEG", "PNG", "WEBP", "BMP", "GIF"):
        body = saved(a_picture(), form)
        yield f"{form}, truncated", body[: len(body) // 2], 415, "damaged|header|not an image"


SERVED, REFUSED = list(served()), list(refused())


def by_transformers(body: bytes) -> Any:
    image = load_image(Image.open(io.BytesIO(body)))
    return np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))


def by_us(body: bytes) -> Any:
    return scaled_and_cut(image_of(bytearray(body), Limits()), resolve(RECIPE))


def test_there_are_fifty() -> None:
    assert len(SERVED) + len(REFUSED) >= 50


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in SERVED])
def test_is_seen_as_transformers_sees_it(body: bytes) -> None:
    np.testing.assert_array_equal(by_us(body), by_transformers(body))


@pytest.mark.parametrize(
    ("body", "status", "reason"), [pytest.param(*case, id=name) for name, *case in REFUSED]
)
def test_is_refused_for_what_it_is(body: bytes, status: int, reason: str) -> None:
    with pytest.raises(PayloadError, match=reason) as refusal:
        by_us(body)
    assert refusal.value.status == status


def test_of_16_bits_a_colour_keeps_the_upper_eight() -> None:
    """Of colours Pillow keeps them itself, and so does transformers: no white picture here."""
    pixels = by_us(deep_png(3, 2))
    assert 60 < pixels.mean() < 200


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("shorten", [1, 10, 100])
@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in SERVED[::4]])
def test_that_is_cut_short_is_refused_or_as_transformers_sees_it(body: bytes, shorten: int) -> None:
    cut = body[:-shorten]
    try:
        pixels = by_us(cut)
    except PayloadError:
        return
    np.testing.assert_array_equal(pixels, by_transformers(cut))
