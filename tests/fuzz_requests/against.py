"""Requests sent to a server, and what is wrong with its answers.

Judged are: no worker died, no 5xx but TorchServe's own for a form that it can't take apart and the 501 of
explanations, each 200 is the answer to what reference.py understood, and what it understood is not refused.
"""

import base64
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from experiments.serving.registration import Registration
from experiments.serving.torchserve.running import TorchServe
from handlers.archive.archives import build
from handlers.bert import BertHandler
from handlers.image.pixels import scaled_and_cut
from handlers.request.refusal import PayloadError
from handlers.resnet50 import ResNet50Handler
from tests.fuzz_requests.made import Maker
from tests.fuzz_requests.reference import Input, RefusedError, Request, Understood, UnjudgedError, understood
from tests.support.checkpoints import tiny_bert, tiny_resnet
from tests.support.worker import a_context

CONNECTIONS = 8
AT_A_TIME = 1000
TOGETHER = 64  # inputs in one forward pass of the expected answers
REFUSALS = (400, 413, 415)
# What it answers to a form that it can't take apart.
TORCHSERVES_OWN = (b"ErrorDataDecoderException", b"ArrayIndexOutOfBounds", b"IllegalCharsetName")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


Answers = dict[Input, dict[str, float] | None]


@dataclass(frozen=True)
class Answer:
    """A status, 0 where the connection was cut off, and a body."""

    status: int
    body: bytes


@dataclass
class Found:
    """What a run found: statuses counted, those nobody can judge, and one line for each that is wrong."""

    statuses: Counter[int] = field(default_factory=Counter)
    unjudged: int = 0
    wrong: list[str] = field(default_factory=list)


class Model:
    """A tiny model of one kind, loaded here too: what it answers to inputs that are known already."""

    def __init__(self, kind: Literal["text", "image"], folder: Path) -> None:
        self.kind = kind
        self.checkpoint = tiny_bert(folder, spread=0.2) if kind == "text" else tiny_resnet(folder, edge=32)
        self.handler: Any = BertHandler() if kind == "text" else ResNet50Handler()
        with pytest.MonkeyPatch.context() as patch:  # loading it would leave this process as a worker is
            patch.setenv("TS_DECODE_INPUT_REQUEST", "false")
            self.handler.initialize(a_context(self.checkpoint, kind))

    def answers(self, inputs: Iterable[Input]) -> Answers:
        """What each different input is answered with; of an image that is none, None."""
        items = {value: self._item(value) for value in set(inputs)}
        known: Answers = dict.fromkeys(items)
        good = iter([value for value, item in items.items() if item is not None])
        while some := list(islice(good, TOGETHER)):
            entries = self.handler.predict([items[value] for value in some])
            known |= dict(zip(some, map(_by_label, entries), strict=True))
        return known

    def _item(self, value: Input) -> Any:
        if self.kind == "text":
            return value
        assert not isinstance(value, tuple)
        try:
            image = Image.open(io.BytesIO(_image_bytes(value)), formats=FORMATS)
            too_narrow = max(image.size) > 100 * min(image.size)
            if too_narrow or image.mode.startswith(("I", "F")):  # or grey of more than 8 bits
                return None
            return scaled_and_cut(image, self.handler.recipe)
        except (PayloadError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None


@contextmanager
def served(server: TorchServe, model: Model, folder: Path) -> Iterator[None]:
    """The model behind the server while the block runs."""
    archive = build(model.kind, model.checkpoint, folder, trial=False)
    server.register(Registration(archive, workers=1, batch_size=8, batch_delay_ms=2))
    yield
    server.unregister()


def fuzz(server: TorchServe, model: Model, requests: int, seed: int) -> Found:
    """Send so many requests to what is served, and judge each answer."""
    maker, found = Maker(model.kind, seed), Found()
    before = [worker.pid for worker in server.workers()]
    made = (maker.request() for _ in range(requests))
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        sender = _Sender(server)
        while some := list(islice(made, AT_A_TIME)):
            answers = list(threads.map(sender.send, some))
            found.statuses.update(answer.status for answer in answers)
            read = [_read(request, model.kind) for request in some]
            known = model.answers(value for meant in read if meant for value in meant.inputs)
            for request, answer, meant in zip(some, answers, read, strict=True):
                _judge(request, answer, meant, known, found)
            if [worker.pid for worker in server.workers()] != before:
                found.wrong.append(f"a worker died within {AT_A_TIME} requests: {before}")
                return found
    return found


class _Sender:
    """Sends over one connection for each thread."""

    def __init__(self, server: TorchServe) -> None:
        self.server, self.own = server, threading.local()

    def send(self, request: Request) -> Answer:
        connection = getattr(self.own, "connection", None)
        if connection is None:
            connection = HTTPConnection("127.0.0.1", self.server.ports.inference, timeout=60)
            self.own.connection = connection
        path = f"/{request.action}/{self.server.predict_url.rsplit('/', 1)[1]}"
        headers = dict(self.server.headers)
        if request.content_type is not None:
            headers["Content-Type"] = request.content_type
        if request.encoding is not None:
            headers["Content-Encoding"] = request.encoding
        try:
            connection.request("POST", path, request.body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, HTTPException):
            connection.close()
            return Answer(0, b"")


def _read(request: Request, kind: str) -> Understood | None:
    """What is meant; nothing by a request to be refused; no inputs where nobody can tell."""
    try:
        return understood(request, kind)
    except RefusedError:
        return None
    except UnjudgedError:
        return Understood((), "single")


def _judge(request: Request, answer: Answer, meant: Understood | None, known: Answers, found: Found) -> None:
    expected = [known[value] for value in meant.inputs] if meant else []
    form = "form" in (request.content_type or "").lower()
    if form and any(name in answer.body for name in TORCHSERVES_OWN):
        found.unjudged += 1
    elif meant and not meant.inputs:
        found.unjudged += 1
        if answer.status not in (200, *REFUSALS, 501):
            found.wrong.append(_told("a damaged form", request, answer))
    elif request.action == "explanations":
        if answer.status != 501:
            found.wrong.append(_told("an explanation", request, answer))
    elif not meant or None in expected:
        if answer.status not in REFUSALS:
            found.wrong.append(_told("to be refused", request, answer))
    elif answer.status != 200:
        found.wrong.append(_told("to be served", request, answer))
    elif not _same(json.loads(answer.body), meant, expected):
        found.wrong.append(_told(f"read as {meant.form}, {meant.inputs!r:.200}", request, answer))


def _same(answer: Any, meant: Understood, expected: list[dict[str, float] | None]) -> bool:
    if meant.form == "predictions":
        answer = answer["predictions"] if isinstance(answer, dict) else None
    entries = [answer] if meant.form == "single" else answer
    if not isinstance(entries, list) or len(entries) != len(expected):
        return False
    return all(_close(entry, wanted) for entry, wanted in zip(entries, expected, strict=True))


def _close(entry: Any, wanted: dict[str, float] | None) -> bool:
    if wanted is None or not isinstance(entry, list) or not all(isinstance(label, dict) for label in entry):
        return False
    found = _by_label(entry)
    return len(found) == len(wanted) and all(abs(found.get(name, 9) - p) < 1e-3 for name, p in wanted.items())


def _by_label(entry: Any) -> dict[str, float]:
    return {label["label"]: label["probability"] for label in entry}


def _image_bytes(value: str | bytes) -> bytes:
    """The bytes of an image that was sent as such or as base64. Raises ValueError."""
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    prefix = re.match(rb"data:[^,]{0,200};base64,", raw)
    encoded = raw[prefix.end() :] if prefix else raw
    if not prefix and not re.fullmatch(rb"[A-Za-z0-9+/_\-\s]+=*\s*", encoded):
        if isinstance(value, str):
            raise ValueError("neither base64 nor bytes")
        return raw
    standard = re.sub(rb"[\r\n\t]", b"", encoded.strip()).replace(b"-", b"+").replace(b"_", b"/")
    return base64.b64decode(standard.replace(b" ", b"+"), validate=True)


def _told(expected: str, request: Request, answer: Answer) -> str:
    return f"expected {expected}: {_short(request)} -> {answer.status} {answer.body[:300]!r}"


def _short(request: Request) -> str:
    body = request.body if len(request.body) <= 400 else request.body[:400] + b"..."
    said = f"{request.content_type!r}, encoding {request.encoding!r}"
    return f"{request.action}, {said}, {len(request.body)} bytes {body!r}"
