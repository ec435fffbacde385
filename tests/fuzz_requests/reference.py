"""The request formats of docs/serving-and-archiving.md once more, slow and strict: bytes -> inputs.

Written from the page alone. Whatever the page does not allow is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal

from tests.fuzz_requests.strict_json import NotJsonError, parsed

Form = Literal["single", "list", "predictions"]
Input = str | bytes | tuple[str, str]
PAIR = {"text", "text_pair"}
NAMES = {"text": ("data", "body", "inputs", "text"), "image": ("data", "body", "inputs", "image", "b64")}
ANY_NAME = {*NAMES["text"], *NAMES["image"], "instances"}
ANYTHING = ("", "application/octet-stream", "binary/octet-stream")
CHARSETS = {
    "utf-8": "utf-8",
    "us-ascii": "ascii",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso8859-15",
    "windows-1252": "cp1252",
}
MOST_INPUTS = 32
PART = re.compile(
    rb'\r\nContent-Disposition: form-data; name="(?P<name>[^"\r\n]*)"(?P<file>; filename="f")?'
    rb"(?:\r\nContent-Type: (?P<type>[^;\r\n]+))?"
)


@dataclass(frozen=True)
class Request:
    """As it goes over the wire; `action` stands in the address."""

    content_type: str | None
    body: bytes
    encoding: str | None = None
    action: Literal["predictions", "explanations"] = "predictions"


@dataclass(frozen=True)
class Understood:
    """Inputs, text, a pair of texts or bytes of an image, and the form of the answer."""

    inputs: tuple[Input, ...]
    form: Form


class RefusedError(Exception):
    """The page doesn't allow it."""


class UnjudgedError(Exception):
    """A damaged form: TorchServe takes it apart before a handler sees it, in ways of its own."""


def understood(request: Request, kind: str) -> Understood:
    """What a request means to a model of this kind, "text" or "image". Raises RefusedError, UnjudgedError."""
    if request.action == "explanations" or (request.encoding or "identity").strip().lower() != "identity":
        raise RefusedError
    declared = (request.content_type or "").strip().partition(";")[0]
    media_type = declared.strip().lower()
    charsets = _charsets(request.content_type or "")
    if media_type == "application/x-www-form-urlencoded":
        if declared != declared.strip():
            raise RefusedError
        return _meant(_only(_urlencoded(request.body), kind), "", charsets, kind)
    if media_type == "multipart/form-data":
        parts = _multipart(request.body, request.content_type or "")
        value = _only([(name, value) for name, value, _ in parts], kind)
        return _meant(value, parts[0][2], set(), kind)
    return _meant(request.body, media_type, charsets, kind)


def _meant(body: bytes, media_type: str, charsets: set[str], kind: str) -> Understood:
    if media_type in ("application/json", "text/json") or media_type.endswith("+json"):
        try:
            return _inputs(parsed(_decoded(body, charsets)), kind)
        except NotJsonError:
            raise RefusedError from None
    allowed = "text/" if kind == "text" else "image/"
    base64_allowed = kind == "image" and media_type == "text/plain"
    if not (media_type in ANYTHING or media_type.startswith(allowed) or base64_allowed):
        raise RefusedError
    if kind == "text":
        _codec(charsets)
    document = _undeclared(body)
    if document is not None:
        return _inputs(document, kind)
    if kind == "image":
        return Understood((body,), "single")
    return Understood((_text(_decoded(body, charsets)),), "single")


def _undeclared(body: bytes) -> object:
    """Our JSON, or None where it is none."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    try:
        document = parsed(text)
    except NotJsonError:
        stripped = body.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
        names = "|".join(sorted(ANY_NAME)).encode()
        if stripped[:1] in (b"{", b"[") and re.search(rb'"(' + names + rb')"\s*:', stripped):
            raise RefusedError from None
        return None
    if isinstance(document, list):
        good = document and all(isinstance(entry, str) or _named(entry) for entry in document)
        return document if good else None
    return document if _named(document) else None


def _named(document: object) -> bool:
    return isinstance(document, dict) and bool(ANY_NAME & document.keys())


def _inputs(document: object, kind: str) -> Understood:
    form: Form = "single"
    if isinstance(document, dict) and document.keys() != PAIR:
        [(name, value), *more] = document.items() if document else [("", None)]
        if more or name not in (*NAMES[kind], "instances"):
            raise RefusedError
        form = "predictions" if name == "instances" else "single"
        if name == "instances" and not isinstance(value, list):
            raise RefusedError
        document = value
    if isinstance(document, list):
        form = "predictions" if form == "predictions" else "list"
        if not 1 <= len(document) <= MOST_INPUTS:
            raise RefusedError
        return Understood(tuple(_one(entry, kind) for entry in document), form)
    return Understood((_one(document, kind),), "single")


def _one(value: object, kind: str) -> str | tuple[str, str]:
    """A text, base64 or a pair of texts, as such or under one name."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in NAMES[kind]:
        value = next(iter(value.values()))
    if isinstance(value, dict) and value.keys() == PAIR and kind == "text":
        first, second = value["text"], value["text_pair"]
        if not isinstance(first, str) or not isinstance(second, str):
            raise RefusedError
        return _text(first), _text(second)
    if not isinstance(value, str):
        raise RefusedError
    return _text(value) if kind == "text" else value


def _text(text: str) -> str:
    if not text.strip() or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RefusedError
    if len(text.encode()) > 65_536:
        raise RefusedError
    return text


def _decoded(body: bytes, charsets: set[str]) -> str:
    try:
        return body.decode(_codec(charsets))
    except UnicodeDecodeError:
        raise RefusedError from None


def _codec(charsets: set[str]) -> str:
    if len(charsets) > 1 or not charsets <= CHARSETS.keys():
        raise RefusedError
    codec = CHARSETS[next(iter(charsets))] if charsets else "utf-8"
    return "utf-8-sig" if codec == "utf-8" else codec


def _charsets(content_type: str) -> set[str]:
    pairs = [parameter.partition("=") for parameter in content_type.split(";")[1:]]
    found = [value for name, _, value in pairs if name.strip().lower() == "charset"]
    return {value.strip().strip("\"'").lower() for value in found}


def _only(parts: list[tuple[str, bytes]], kind: str) -> bytes:
    if len(parts) != 1 or parts[0][0].strip() not in NAMES[kind]:
        raise RefusedError
    return parts[0][1]


def _urlencoded(body: bytes) -> list[tuple[str, bytes]]:
    if not re.fullmatch(rb"(?:[A-Za-z0-9_.+*~&=-]|%[0-9A-Fa-f]{2})*", body):
        raise UnjudgedError
    found = []
    for pair in body.split(b"&"):
        name, equals, value = (_unescaped(piece) for piece in pair.partition(b"="))
        if pair and (not equals or not name):
            raise UnjudgedError
        if pair:
            found.append((name.decode("latin-1"), value))
    return found


def _unescaped(piece: bytes) -> bytes:
    blank = piece.replace(b"+", b" ")
    return re.sub(rb"%(..)", lambda found: bytes([int(found[1], 16)]), blank)


def _multipart(body: bytes, content_type: str) -> list[tuple[str, bytes, str]]:
    """Name, value and type of each part; without a file's name, TorchServe loses the type."""
    boundary = re.search("boundary=([A-Za-z0-9]+)", content_type)
    if not boundary or not body.endswith(f"--{boundary[1]}--\r\n".encode()):
        raise UnjudgedError
    found = []
    for piece in body.split(f"--{boundary[1]}".encode())[1:-1]:
        head, _, value = piece.partition(b"\r\n\r\n")
        fields = PART.fullmatch(head)
        if not fields or not value.endswith(b"\r\n") or (fields["type"] or b"").lower() == b"multipart/mixed":
            raise UnjudgedError
        declared = (fields["type"] or b"application/octet-stream") if fields["file"] else b""
        found.append((fields["name"].decode("latin-1"), value[:-2], declared.decode("latin-1").lower()))
    return found
