"""What a client sent -> texts or images; the client's mistake -> PayloadError(status, reason).

Knows how TorchServe presents each style of request (form, upload, multipart, JSON). Knows nothing of models,
batches or answers' contents; `handlers.model.runtime` carries the result through a batch.
"""

import base64
import binascii
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Generic, Literal, TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError

from handlers.request.declared import FIELDS, Medium, reading
from handlers.request.documents import read_if_json, read_json
from handlers.request.refusal import PayloadError, quoted
from handlers.request.wire import Discarded, Repeated

Item = TypeVar("Item")

# Decoders that are safe to point at strangers' bytes. Pillow knows more, among them PostScript.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

# How Pillow names what has more than 8 bits a colour: its conversion to RGB cuts off at 255.
DEEP_MODES = ("I", "F")

# A strip of 1 x 1,000,000 pixels is small until its shorter side is scaled up to the model's 256.
MAX_ASPECT_RATIO = 100

# An object of exactly these keys is one input of two texts, as in transformers' text-classification pipeline.
PAIR = frozenset({"text", "text_pair"})

NOTHING_ARRIVED = (
    "the request is empty: send the file as the body (curl -T FILE), a form field (curl -F data=@FILE, "
    "curl --data-urlencode data=TEXT), text with 'Content-Type: text/plain', or JSON. "
    "TorchServe drops form text without a field name, so `curl -d TEXT` alone arrives empty"
)

_DATA_URI = re.compile(rb"data:[^,]{0,200};base64,", re.IGNORECASE)
# Possessive, so that a long run of blanks before a wrong byte can't make it try again and again.
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]++=*+\s*+")
# The alphabet for URLs, and the blank that a form makes of an unescaped plus.
_TO_STANDARD_BASE64 = bytes.maketrans(b"-_ ", b"+/+")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold. Beyond it the answer is 413."""

    body_bytes: int = 32 * 2**20
    text_bytes: int = 65_536
    image_bytes: int = 6_000_000
    image_pixels: int = 50_000_000
    image_side: int = 16_384
    instances: int = 32


@dataclass(frozen=True, slots=True)
class Payload(Generic[Item]):
    """The inputs of one request, and the form in which its answer is expected."""

    items: tuple[Item, ...]
    form: Literal["single", "list", "predictions"]

    def answer(self, predictions: Sequence[object]) -> object:
        """One prediction an item -> the body of the answer: bare, a list, or under "predictions"."""
        if self.form == "single":
            return predictions[0]
        return list(predictions) if self.form == "list" else {"predictions": list(predictions)}


def read(
    row: Mapping[str, object],
    read_item: Callable[[object], Item],
    limits: Limits,
    medium: Medium,
    content_types: Mapping[str, str] | None = None,
) -> Payload[Item]:
    """Take a request's row apart and read each input in it.

    `row` is what TorchServe hands over: part name -> str, bytearray or parsed JSON; of a part larger than
    `limits.body_bytes`, wire.py hands over the size alone. `read_item` turns one input into what the model's
    preprocessing wants, `medium` says which inputs it takes; `content_types` has the type declared for each
    part. Raises PayloadError.
    """
    name, part = _only_part(row, medium)
    if isinstance(part, Discarded):
        _check_size("body", part.size_bytes, limits.body_bytes)
    if isinstance(part, bytes | bytearray | str):  # before anything looks at all of it
        _check_size("body", len(part), limits.body_bytes)
    inputs, form = _inputs(_document(part, (content_types or {}).get(name, ""), medium, limits), medium)
    if len(inputs) > limits.instances:
        most = limits.instances
        raise PayloadError(413, f"{len(inputs)} inputs in one request: at most {most} are allowed")
    if form == "single":
        return Payload((read_item(_unwrap(inputs[0], medium)),), form)
    return Payload(tuple(_read_numbered(inputs, read_item, medium)), form)


def text_of(value: object, limits: Limits) -> str:
    """One input -> text. Raises PayloadError: 400 empty or no string, 413 too long, 415 not UTF-8."""
    if isinstance(value, bytes | bytearray):
        _check_size("text", len(value), limits.text_bytes)
        try:
            value = value.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise PayloadError(415, f"not UTF-8 text: bad byte at position {error.start}") from None
    if not isinstance(value, str):
        raise PayloadError(400, f"expected a text, got {_json_type(value)}")
    _check_size("text", len(value), limits.text_bytes)
    try:
        _check_size("text", len(value.encode()), limits.text_bytes)
    except UnicodeEncodeError:  # JSON can spell half a surrogate pair, which is no character
        raise PayloadError(400, "the text holds an unpaired surrogate: not valid Unicode") from None
    if "\0" in value:
        raise PayloadError(415, "not text: it holds NUL bytes")
    if not value or value.isspace():
        raise PayloadError(400, NOTHING_ARRIVED)
    return value


def image_of(value: object, limits: Limits) -> Image.Image:
    """One input -> an image of which only the header was read, its size in order.

    Raises PayloadError: 400 empty or bad base64, 413 too many bytes or pixels, 415 no readable image, or
    one in 16-bit grey.
    """
    image = _open_image(_image_bytes(value, limits))
    if image.mode.startswith(DEEP_MODES):
        raise PayloadError(
            415, f"a 16-bit grey {image.format} image: convert it to 8 bits, scaled to 0 to 255"
        )
    _check_shape(*image.size, limits)
    return image


def draft(image: Image.Image, shorter_side: int) -> None:
    """Let what `image_of` opened be decoded smaller, if it can be: its size changes.

    A JPEG's transform can give 1/2, 1/4 or 1/8 of the size for as much less work: the smallest is taken whose
    shorter side still has `shorter_side` pixels.
    """
    shrinking = shorter_side / min(image.size)
    image.draft("RGB", (ceil(image.width * shrinking), ceil(image.height * shrinking)))


def decode(image: Image.Image) -> Image.Image:
    """The pixels of what `image_of` opened: RGB, turned upright. Raises PayloadError: 415, a damaged file."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # each of Pillow's decoders has exceptions of its own for damaged files
        raise PayloadError(415, f"damaged {image.format} image: {_told(error)}") from None


def _only_part(row: Mapping[str, object], medium: Medium) -> tuple[str, object]:
    """The one part of a request. More than one is most often a text with an unescaped '&'."""
    if all(name in FIELDS and _is_blank(part) for name, part in row.items()):
        raise PayloadError(400, NOTHING_ARRIVED)
    for name, part in row.items():
        if isinstance(part, Repeated):
            raise PayloadError(
                400,
                f"several form fields are named {quoted(name)}: send one, or several inputs as JSON, "
                '{"data": ["...", "..."]}',
            )
    if len(row) != 1 or not row.keys() <= set(medium.fields):
        got = ", ".join(quoted(name) for name in list(row)[:4]) + (", ..." if len(row) > 4 else "")
        raise PayloadError(
            400,
            f"expected one form field, named {_alternatives(medium.fields)}, and no other; got {got}. "
            "Escape '&' and '=' in form text: curl --data-urlencode data=TEXT",
        )
    return next(iter(row.items()))


def _document(part: object, content_type: str, medium: Medium, limits: Limits) -> object:
    """A part as parsed JSON where it is JSON, decoded where it has a charset, untouched where it is neither.

    An upload (`curl -T body.json`) declares nothing: what has the shape of our JSON is taken for JSON.
    """
    declared = reading(content_type, medium)
    if not isinstance(part, bytes | bytearray | str):
        return part
    if declared.form == "json":  # where it is a str, TorchServe has parsed it
        return part if isinstance(part, str) else read_json(part, declared.codec)
    document = read_if_json(part)
    if declared.codec is None or not isinstance(document, bytes | bytearray):
        return document
    _check_size("text", len(document), limits.text_bytes)
    try:
        return document.decode(declared.codec)
    except UnicodeDecodeError as error:
        raise PayloadError(415, f"not {error.encoding} text: bad byte at position {error.start}") from None


def _inputs(
    document: object, medium: Medium
) -> tuple[list[object], Literal["single", "list", "predictions"]]:
    if isinstance(document, dict):
        if "instances" in document:
            _refuse_others(document, "instances")
            instances = document["instances"]
            if not isinstance(instances, list):
                raise PayloadError(400, f'"instances" must be a list, got {_json_type(instances)}')
            return _not_empty(instances), "predictions"
        document = _unwrap(document, medium)
    if isinstance(document, list):
        return _not_empty(document), "list"
    return [document], "single"


def _unwrap(value: object, medium: Medium) -> object:
    """`{"data": x}` -> x; a pair of texts, and anything but an object -> itself."""
    if not isinstance(value, dict) or value.keys() == PAIR:
        return value
    names = [name for name in medium.fields if name in value]
    if len(names) != 1:
        got = ", ".join(quoted(name) for name in list(value)[:4]) or "none"
        raise PayloadError(
            400, f"a JSON object needs exactly one of {_alternatives(medium.fields)}, or instances; got {got}"
        )
    _refuse_others(value, names[0])
    return value[names[0]]


def _refuse_others(document: Mapping[str, object], known: str) -> None:
    """An option that is overlooked would be answered with something else than what was asked for."""
    if others := [name for name in document if name != known]:
        name = next((name for name in others if name not in PAIR), others[0])
        raise PayloadError(
            400, f'unknown key {quoted(name)} beside "{known}": leave it out, no option is read'
        )


def _read_numbered(inputs: list[object], read_item: Callable[[object], Item], medium: Medium) -> list[Item]:
    items = []
    for number, value in enumerate(inputs):
        try:
            items.append(read_item(_unwrap(value, medium)))
        except PayloadError as error:
            raise PayloadError(error.status, f"input {number} of {len(inputs)}: {error.reason}") from None
    return items


def _image_bytes(value: object, limits: Limits) -> bytes:
    if isinstance(value, str | bytes | bytearray):  # base64 with line breaks takes 4/3 and a little more
        _check_size("encoded image", len(value), limits.image_bytes * 3 // 2)
    if isinstance(value, str):
        encoded = value.encode("utf-8", "replace")
        if encoded and not _DATA_URI.match(encoded) and not _BASE64.fullmatch(encoded):
            raise PayloadError(400, "an image in text or JSON must be base64: this is not")
    elif isinstance(value, bytes | bytearray):
        encoded = bytes(value)
    else:
        raise PayloadError(400, f"expected an image, got {_json_type(value)}")
    prefix = _DATA_URI.match(encoded)
    if prefix or _BASE64.fullmatch(encoded):
        body = _from_base64(encoded[prefix.end() if prefix else 0 :])
    else:
        body = encoded
    _check_size("image", len(body), limits.image_bytes)
    if not body:
        raise PayloadError(400, NOTHING_ARRIVED)
    return body


def _from_base64(encoded: bytes) -> bytes:
    stripped = encoded.strip().translate(_TO_STANDARD_BASE64, delete=b"\r\n\t")
    try:
        return base64.b64decode(stripped, validate=True)
    except binascii.Error:
        raise PayloadError(
            400, "neither an image nor whole base64 of one; in a form, escape base64"
        ) from None


def _open_image(body: bytes) -> Image.Image:
    """Read the header alone: nothing is decoded before the image's size is known to be fair."""
    try:
        return Image.open(io.BytesIO(body), formats=IMAGE_FORMATS)
    except UnidentifiedImageError:
        raise PayloadError(415, f"not an image in one of the formats {', '.join(IMAGE_FORMATS)}") from None
    except Image.DecompressionBombError:
        raise PayloadError(413, "the image has far too many pixels") from None
    except Exception as error:  # a damaged header fails in as many ways as there are formats
        raise PayloadError(415, f"unreadable image header: {_told(error)}") from None


def _check_shape(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.image_pixels:
        most = limits.image_pixels
        raise PayloadError(413, f"an image of {width} x {height}: at most {most} pixels are allowed")
    if max(width, height) > limits.image_side:
        most = limits.image_side
        raise PayloadError(413, f"an image of {width} x {height}: a side may have {most} pixels at most")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise PayloadError(400, f"an image of {width} x {height} is too narrow to classify")


def _check_size(what: str, size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise PayloadError(413, f"{what} of {size_bytes} bytes: at most {limit_bytes} are allowed")


def _not_empty(inputs: list[object]) -> list[object]:
    if not inputs:
        raise PayloadError(400, "the list of inputs is empty")
    return inputs


def _is_blank(value: object) -> bool:
    return isinstance(value, str | bytes | bytearray) and (not value or value.isspace())


def _told(error: Exception) -> str:
    return str(error)[:100] or type(error).__name__


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null", str: "a string"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


def _alternatives(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
