"""Requests, good, odd and broken, from a seed. What they mean is reference.py's business."""

import base64
import gzip
import io
import json
import zlib
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote_plus

from PIL import Image

from tests.fuzz_requests.reference import Request

WORDS = [
    "the",
    "kettle",
    "is",
    "quiet",
    "and",
    "pours",
    "well",
    "a",
    "dull",
    "film",
    "café",
    "naïve",
    "茶",
    "🍵",
    "&",
    "=",
    "+",
    "%",
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "data",
    ":",
    "3",
]
NAMES = ("data", "body", "text", "inputs", "image", "b64", "instances")
OTHERS = ("top_k", "parameters", "text_pair", "normalize", "id", "Data", "data ", "")
RAW_TYPES = {
    "text": ("text/plain", "text/html", "text/csv"),
    "image": ("image/jpeg", "image/png", "text/plain"),
}
JSON_TYPES = ("application/json", "Application/JSON", "text/json", "application/vnd.api+json", "a/b+JSON")
ODD_TYPES = (
    "image/jpeg",
    "application/pdf",
    "multipart/mixed",
    "application/jsonl",
    "text",
    "*/*",
    "json",
    "é/x",
)
PARAMETERS = (
    *(
        "charset=" + name
        for name in ("utf-8", '"UTF-8"', "iso-8859-1", "windows-1252", "utf-16", "us-ascii", "")
    ),
    *("CHARSET=latin9", "format=flowed", "q=1", "", "charset"),
)
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    **dict.fromkeys(("br", "zstd", "identity", "GZIP"), bytes),
}
IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")


class Maker:
    """Makes one request after the other for a model that takes "text" or "image"."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.random = kind, Random(f"{kind} {seed}")
        self.images = [_an_image(self.random, form) for form in IMAGE_FORMATS for _ in range(3)]

    def request(self) -> Request:
        """The next one."""
        content_type, body = self._choose(
            (self._raw, 3), (self._json, 6), (self._form, 2), (self._parts, 2)
        )()
        if self._seldom(0.1):
            content_type = self._any_type()
        encoding = self.random.choice(list(ENCODINGS)) if self._seldom(0.03) else None
        if encoding and self._seldom(0.7):
            body = ENCODINGS[encoding](body)
        return Request(content_type, body, encoding, "explanations" if self._seldom(0.02) else "predictions")

    def _raw(self) -> tuple[str | None, bytes]:
        body = self._bytes()
        choices = [None, "application/octet-stream", *RAW_TYPES[self.kind]]
        return self._spelt(self.random.choice(choices)), self._damaged(body, 0.3)

    def _json(self) -> tuple[str | None, bytes]:
        text = self._document()
        body = text.encode("utf-8", "surrogatepass")
        if self._seldom(0.05):
            body = b"\xef\xbb\xbf" + body
        if self._seldom(0.03):
            body = text.encode(self.random.choice(("latin-1", "utf-16", "cp1252")), "replace")
        declared = self._spelt(self.random.choice(JSON_TYPES)) if self._seldom(0.75) else None
        return declared, self._damaged(body, 0.15)

    def _form(self) -> tuple[str | None, bytes]:
        pairs = [(self._name(), self._bytes()) for _ in range(self._few(1))]
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode()
        return self._spelt("application/x-www-form-urlencoded"), self._damaged(body, 0.05)

    def _parts(self) -> tuple[str | None, bytes]:
        body = b""
        for _ in range(self._few(1)):
            filed = self._seldom(0.6)
            value = self._document().encode("utf-8", "replace") if self._seldom(0.4) else self._bytes()
            body += f'--B7x\r\nContent-Disposition: form-data; name="{self._name()}"'.encode()
            body += b'; filename="f"' if filed else b""
            if filed or self._seldom(0.3):
                body += b"\r\nContent-Type: " + (self._any_type() or "text/plain").encode("latin-1")
            body += b"\r\n\r\n" + self._damaged(value, 0.1).replace(b"--B7x", b"") + b"\r\n"
        body += b"--B7x--\r\n"
        return "multipart/form-data; boundary=B7x", self._damaged(body, 0.03)

    def _document(self) -> str:
        """JSON by hand, so that keys may be there twice and constants odd."""
        chosen = self.random.random()
        if chosen < 0.15:
            return self._value(0)
        if chosen < 0.3:
            return self._list(0)
        return self._object(0)

    def _object(self, depth: int) -> str:
        if self._seldom(0.1):
            return f'{{"text": {self._value(2)}, "text_pair": {self._value(2)}}}'
        name = self._name()
        listed = name == "instances" or self._seldom(0.3)
        pairs = [(name, self._list(depth) if listed else self._value(depth))]
        for _ in range(self._few(0)):
            pairs.append((self._name() if self._seldom(0.5) else name, self._value(depth)))
        blank = self.random.choice(("", " ", "\n\t"))
        inner = ",".join(f"{blank}{json.dumps(name)}{blank}:{value}" for name, value in pairs)
        return blank * self.random.choice((0, 1, 80)) + "{" + inner + blank + "}"

    def _list(self, depth: int) -> str:
        count = 40 if self._seldom(0.01) else self._few(2)
        values = [self._object(2) if self._seldom(0.2) else self._value(depth) for _ in range(count)]
        return "[" + ",".join(values) + "]"

    def _value(self, depth: int) -> str:
        if self._seldom(0.08):
            odd = ("null", "true", "5", "-1.5e3", "NaN", "Infinity", "{}", "[]", '"', "'a'", r'"\ud800"',
                   r'"\ud83c\udf75"', r'"\u0000"', '"a\nb"', "1" * 5000, "[" * 5000, '""', '" "')  # fmt: skip
            return self.random.choice(odd)
        if depth < 2 and self._seldom(0.15):
            return self._object(depth + 1) if self._seldom(0.5) else self._list(depth + 1)
        text = self._text() if self.kind == "text" or self._seldom(0.1) else self._base64()
        return json.dumps(text, ensure_ascii=self._seldom(0.5))

    def _bytes(self) -> bytes:
        if self.kind == "text" and not self._seldom(0.03):
            codec = self.random.choice(("utf-8",) * 8 + ("latin-1", "cp1252", "utf-16"))
            return self._text().encode(codec, "replace")
        if self._seldom(0.3):
            return self._base64().encode()
        return self._text().encode() if self._seldom(0.1) else self.random.choice(self.images)

    def _text(self) -> str:
        if self._seldom(0.06):
            odd = ("", " ", "\0", "\ufeff", "x" * 65_536, "x" * 65_537, '["a"]', '{"data": "a"}', "5", '"a"')
            return self.random.choice(odd)
        return self.random.choice((" ", "  ", "\n")).join(self.random.choices(WORDS, k=self._few(6)))

    def _base64(self) -> str:
        body = self.random.choice(self.images)
        ways: list[Callable[[bytes], bytes]] = [base64.b64encode] * 5
        ways += [base64.urlsafe_b64encode, base64.encodebytes]
        encoded = self.random.choice(ways)(body).decode()
        if self._seldom(0.1):
            return "data:image/png;base64," + encoded
        return encoded[:-1] if self._seldom(0.05) else encoded

    def _name(self) -> str:
        good = ("data", "inputs", "text" if self.kind == "text" else "b64", "instances")
        names: tuple[str, ...] = self._choose((good, 12), (NAMES, 2), (OTHERS, 1))
        return self.random.choice(names)

    def _any_type(self) -> str | None:
        return self._spelt(
            self.random.choice([*RAW_TYPES["text"], *RAW_TYPES["image"], *JSON_TYPES, *ODD_TYPES])
        )

    def _spelt(self, declared: str | None) -> str | None:
        if declared is None:
            return None
        if self._seldom(0.1):
            declared = self.random.choice((declared.upper(), declared.title()))
        for _ in range(self._few(0)):
            declared += self.random.choice((";", "; ", " ; ")) + self.random.choice(PARAMETERS)
        return declared

    def _damaged(self, body: bytes, share: float) -> bytes:
        """Some bytes changed, left out, doubled, or the end cut off."""
        if not body or not self._seldom(share):
            return body
        damaged = bytearray(body)
        for _ in range(self._few(1)):
            at = self.random.randrange(len(damaged))
            match self.random.randrange(4):
                case 0:
                    damaged[at] = self.random.randrange(256)
                case 1:
                    damaged[at : at + 1] = damaged[at : at + 1] * 2
                case 2:
                    del damaged[at:]
                case _:
                    del damaged[at]
            if not damaged:
                break
        return bytes(damaged)

    def _few(self, usually: int) -> int:
        return max(0, usually + self.random.choice((0, 0, 0, 0, 0, 0, 1, 2, -1)))

    def _seldom(self, share: float) -> bool:
        return self.random.random() < share

    def _choose(self, *weighted: tuple[Any, float]) -> Any:
        return self.random.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]


def _an_image(random: Random, form: str) -> bytes:
    file = io.BytesIO()
    small = Image.frombytes("RGB", (6, 5), random.randbytes(90))
    small.resize((random.randrange(20, 60), random.randrange(20, 60))).save(file, form)
    return file.getvalue()
