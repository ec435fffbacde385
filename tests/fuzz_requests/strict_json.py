"""RFC 8259 by hand: each rule of its grammar a branch here, each key once, and nothing beyond it."""

import re

BLANK = re.compile(r"[ \t\n\r]*")
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
WORDS = {"true": True, "false": False, "null": None}
DEEPEST = 200


class NotJsonError(Exception):
    """It doesn't follow the grammar, has a key twice, or is deeper than anything that we take."""


def parsed(text: str) -> object:
    """One document and nothing after it. Numbers come as floats. Raises NotJsonError."""
    value, at = _value(text, _skip(text, 0), 0)
    if _skip(text, at) != len(text):
        raise NotJsonError
    return value


def _value(text: str, at: int, depth: int) -> tuple[object, int]:
    if depth > DEEPEST:
        raise NotJsonError
    begins = text[at : at + 1]
    if begins == "{":
        return _object(text, at + 1, depth)
    if begins == "[":
        return _list(text, at + 1, depth)
    if begins == '"':
        return _string(text, at + 1)
    for word, value in WORDS.items():
        if text.startswith(word, at):
            return value, at + len(word)
    number = NUMBER.match(text, at)
    if not number:
        raise NotJsonError
    return float(number[0]), number.end()


def _object(text: str, at: int, depth: int) -> tuple[dict[str, object], int]:
    found: dict[str, object] = {}
    at = _skip(text, at)
    if text.startswith("}", at):
        return found, at + 1
    while True:
        name, at = _string(text, _expect(text, at, '"'))
        value, at = _value(text, _skip(text, _expect(text, _skip(text, at), ":")), depth + 1)
        if name in found:
            raise NotJsonError
        found[name] = value
        at = _skip(text, at)
        if text.startswith("}", at):
            return found, at + 1
        at = _skip(text, _expect(text, at, ","))


def _list(text: str, at: int, depth: int) -> tuple[list[object], int]:
    found: list[object] = []
    at = _skip(text, at)
    if text.startswith("]", at):
        return found, at + 1
    while True:
        value, at = _value(text, at, depth + 1)
        found.append(value)
        at = _skip(text, at)
        if text.startswith("]", at):
            return found, at + 1
        at = _skip(text, _expect(text, at, ","))


def _string(text: str, at: int) -> tuple[str, int]:
    pieces = []
    while True:
        plain = PLAIN.match(text, at)
        assert plain
        pieces.append(plain[0])
        at = plain.end()
        if text.startswith('"', at):
            whole = "".join(pieces)  # pairs of surrogates that were escaped become one character
            return whole.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"), at + 1
        escaped = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))').match(text, at)
        if not escaped:
            raise NotJsonError
        pieces.append(chr(int(escaped[1], 16)) if escaped[1] else ESCAPES[escaped[2]])
        at = escaped.end()


def _skip(text: str, at: int) -> int:
    blank = BLANK.match(text, at)
    assert blank
    return blank.end()


def _expect(text: str, at: int, character: str) -> int:
    if not text.startswith(character, at):
        raise NotJsonError
    return at + 1
