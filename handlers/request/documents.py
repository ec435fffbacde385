"""JSON of strangers -> Python: what the standard calls JSON and nothing else, each key once.

Python's own reader takes NaN, and of a key that is there twice the last. Which keys mean what is payload.py's
business.
"""

import json
import re
from typing import Any, NoReturn

from handlers.request.declared import FIELDS
from handlers.request.refusal import PayloadError, quoted

_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+[\[{]")
_NAMES_OURS = re.compile(rf'"(?:{"|".join((*FIELDS, "instances"))})"\s*+:'.encode())


def read_json(body: bytes | bytearray | str, codec: str | None = None) -> object:
    """A document that is declared as JSON. Raises PayloadError: 400, it is not."""
    try:
        return _parsed(body, codec)
    except (ValueError, RecursionError) as error:
        raise PayloadError(400, f"declared as JSON, but it is not: {_what_json_said(error)}") from None


def read_if_json(body: bytes | bytearray | str) -> object:
    """What isn't declared as JSON -> the document if it is one of ours, else `body` untouched.

    Ours are an object with one of our keys, and a list of nothing but strings and such objects. Raises
    PayloadError: 400, damaged JSON that holds one of our keys: it would be misread as a text.
    """
    raw = body.encode("utf-8", "replace") if isinstance(body, str) else body
    if not _BEGINS.match(raw):
        return body
    try:
        document = _parsed(raw, None)
    except (ValueError, RecursionError) as error:
        if _NAMES_OURS.search(raw):
            told = _what_json_said(error)
            raise PayloadError(400, f"it looks like JSON, but it is not: {told}") from None
        return body
    return document if _is_ours(document) else body


def _is_ours(document: object) -> bool:
    if isinstance(document, list):
        return bool(document) and all(isinstance(entry, str) or _has_field(entry) for entry in document)
    return _has_field(document)


def _has_field(document: object) -> bool:
    return isinstance(document, dict) and any(name in document for name in (*FIELDS, "instances"))


def _parsed(body: bytes | bytearray | str, codec: str | None) -> object:
    """Raises ValueError and RecursionError."""
    if not isinstance(body, str):
        body = body.decode(codec or "utf-8-sig")
    document: object = _DECODER.decode(body)
    return document


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {quoted(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


# Python's int refuses what has more than 4,300 digits, as JSON does not.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_each_key_once, parse_constant=_refuse_constant, parse_int=float
)


def _what_json_said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not {error.encoding.upper()}"
    return str(error)[:100] if isinstance(error, ValueError) else "it is nested too deep"
