"""What a request says of its parts: media types, charsets, encodings -> how a part is to be read.

What is declared is obeyed, or refused by name; never overlooked. Nothing here looks at a body.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from handlers.request.refusal import PayloadError, quoted

# Names under which a client may put its input: as a part of a form or as a key of a JSON object.
# TorchServe itself calls a body without parts `body`.
FIELDS = ("data", "body", "text", "image", "inputs", "b64")

FORM = "application/x-www-form-urlencoded"
FORM_OF_PARTS = "multipart/form-data"
# Said of anything: nothing, a form's own type, and what programs send that don't know better.
_ANYTHING = ("", FORM, "application/octet-stream", "binary/octet-stream")
_JSON = ("application/json", "text/json")

# Those whose every byte has one meaning. UTF-16 without a mark at its beginning has two.
_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
}


@dataclass(frozen=True, slots=True)
class Medium:
    """What a model takes: its name, the names its inputs may have, and how media types of it begin."""

    name: str
    fields: tuple[str, ...]
    types: tuple[str, ...]


TEXT = Medium("texts", ("data", "body", "text", "inputs"), ("text/",))
# As text/plain an image is base64.
IMAGE = Medium("images", ("data", "body", "image", "inputs", "b64"), ("image/", "text/plain"))


@dataclass(frozen=True, slots=True)
class Reading:
    """How the bytes of a part are to be read. A codec of None: as UTF-8."""

    form: Literal["json", "raw"]
    codec: str | None


def content_types(headers: Mapping[str, Any], names: Mapping[str, object]) -> dict[str, str]:
    """What TorchServe tells of a request, and its parts by name -> the type declared for each part.

    TorchServe keeps the parts' types, as small dicts, among the headers. It has cut off their parameters, and
    of a form it tells none: those are in the request's own header.
    Raises PayloadError: 400 a header hides a type, 415 an encoding, 501 an explanation is asked for.
    """
    if headers.get("explain") == "True":  # TorchServe's own, it overwrites the client's
        raise PayloadError(501, "explanations are not served: ask for predictions, POST /predictions/{model}")
    whole = ""
    for name, value in headers.items():
        lowered = name.lower()
        if lowered == "content-type" and isinstance(value, str):
            whole = value
        elif lowered == "content-encoding" and isinstance(value, str):
            _refuse_encoding(value)
    return {name: _type_of(name, headers.get(name), whole) for name in names}


@lru_cache(maxsize=256)
def reading(content_type: str, medium: Medium) -> Reading:
    """How a part of this declared type is read by a model that takes `medium`.

    Raises PayloadError: 415, a type of another medium or an unknown charset.
    """
    kind, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    if kind in _JSON or kind.endswith("+json"):
        return Reading("json", _codec(parameters))
    if kind in _ANYTHING or kind.startswith(medium.types):
        return Reading("raw", _codec(parameters) if medium is TEXT else None)
    raise PayloadError(
        415, f"this model takes {medium.name} or JSON, not Content-Type {quoted(content_type)}"
    )


def _type_of(name: str, told: object, whole: str) -> str:
    """The declared type of the part `name`, of which TorchServe told `told`, with its parameters."""
    if isinstance(told, str):
        raise PayloadError(400, f"a header named {quoted(name)} hides what the input is: leave it out")
    declared: str = told["content-type"] if isinstance(told, dict) else ""
    if not whole or declared == whole != FORM:  # most often
        return declared
    kind, own = (said.partition(";")[0].strip().lower() for said in (whole, declared))
    if own == FORM:
        raise PayloadError(
            415, f"a form of Content-Type {quoted(whole)} is not taken apart: write no blank before ';'"
        )
    if kind == FORM:
        return whole
    if name != "body" or (kind == FORM_OF_PARTS and own != FORM_OF_PARTS):
        return declared
    return whole if kind == own else f"{declared}, {whole}"  # two headers: TorchServe tells first and last


def _refuse_encoding(value: str) -> None:
    if value.strip().lower() not in ("", "identity"):
        raise PayloadError(415, f"Content-Encoding {quoted(value)} is not read: send the body as it is")


def _codec(parameters: list[str]) -> str | None:
    """The one of the charset; None where none is declared, or UTF-8."""
    charsets = {
        value.strip().strip("\"'")
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name.strip() == "charset"
    }
    codecs = {_CHARSETS.get(charset) for charset in charsets}
    if None in codecs or len(codecs) > 1:
        said = quoted(", ".join(sorted(charsets)))
        raise PayloadError(415, f"the charset {said} is not read: send UTF-8")
    return next((codec for codec in codecs if codec != "utf-8"), None)
