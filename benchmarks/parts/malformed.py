"""Requests that no server can answer well, and a small client that sends them at a given rate.

`python -m benchmarks.parts.malformed URL KIND RATE`, the server's token in $TOKEN, sends until its standard
input ends, then prints what came back as JSON. In a process of its own: our load generator takes any answer
but a 2xx for a failure, and must not share its interpreter with anybody. It shares the cores with the server:
http.client takes less of them than requests would.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from urllib.parse import urlsplit

from benchmarks.parts.models import photographs
from experiments.base.paths import ROOT
from experiments.load import Body
from experiments.serving.torchserve.running import TorchServe

BOMB_EDGE = 30_000
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request that deserves one of `statuses`."""

    name: str
    body: Body
    statuses: tuple[int, ...]


@cache
def requests_of(kind: str) -> list[Malformed]:
    """What goes wrong with texts ("text") or with images ("image")."""
    if kind == "text":
        return [
            Malformed("empty", Body(b"", "text/plain"), (400,)),
            Malformed("not UTF-8", Body(b"caf\xe9 au lait", "text/plain"), (400, 415)),
            Malformed("10 MB of text", Body(b"a long text " * (10**7 // 12), "text/plain"), (413,)),
        ]
    photograph = photographs(500, 375)[0].data
    return [
        Malformed("empty", Body(b"", "image/jpeg"), (400,)),
        Malformed("truncated JPEG", Body(photograph[: len(photograph) // 2], "image/jpeg"), (400, 415)),
        Malformed("PNG bomb", Body(png_bomb(), "image/png"), (413,)),
    ]


def png_bomb(edge: int = BOMB_EDGE) -> bytes:
    """A valid black-and-white PNG of edge x edge: as a file a 20,000th of what its pixels take as RGB."""
    compressor = zlib.compressobj(9)
    row = bytes(1 + (edge + 7) // 8)  # the type of the filter, then a bit for each pixel
    pixels = b"".join([*(compressor.compress(row) for _ in range(edge)), compressor.flush()])
    header = struct.pack(">IIBBBBB", edge, edge, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@dataclass(slots=True)
class Sent:
    """What came back: how many answers of each status to each malformed request. Filled in by `sending`."""

    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Requests sent in all."""
        return sum(sum(by_status.values()) for by_status in self.statuses.values())

    def problems(self, kind: str) -> Iterator[str]:
        """A line for each malformed request that got another answer than it deserves."""
        for malformed in requests_of(kind):
            for status, count in self.statuses.get(malformed.name, {}).items():
                if status not in map(str, malformed.statuses):
                    yield f"{malformed.name}: {count} answers with {status}, not {malformed.statuses}"


@contextmanager
def sending(server: TorchServe, kind: str, rate_rps: float) -> Iterator[Sent]:
    """Sends malformed requests of each sort in turn while what is inside runs; tells afterwards."""
    command = [sys.executable, "-m", "benchmarks.parts.malformed", server.predict_url, kind, str(rate_rps)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"TOKEN": server.headers["Authorization"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    sent = Sent()
    assert process.stdout is not None
    try:
        process.stdout.readline()  # it is ready
        yield sent
        answered, _ = process.communicate(timeout=2 * TIMEOUT_S)
        sent.statuses = json.loads(answered)
    finally:
        process.kill()
        process.wait()


def main(url: str, kind: str, rate_rps: float) -> None:
    """The client's side of `sending`."""
    target = urlsplit(url)
    connection = HTTPConnection(target.netloc, timeout=TIMEOUT_S)
    sorts = cycle(requests_of(kind))
    statuses: dict[str, dict[str, int]] = {}
    print("ready", flush=True)
    begin_s = time.monotonic()
    number = 0
    while not _told_to_stop(begin_s + number / rate_rps):
        malformed = next(sorts)
        status = _send(connection, target.path, malformed.body)
        of_this = statuses.setdefault(malformed.name, {})
        of_this[status] = of_this.get(status, 0) + 1
        number += 1
    connection.close()
    print(json.dumps(statuses))


def _told_to_stop(due_s: float) -> bool:
    """Waits until the next request is due; whether the standard input ended before."""
    wait_s = max(0.0, due_s - time.monotonic())
    return bool(select.select([sys.stdin], [], [], wait_s)[0])


def _send(connection: HTTPConnection, path: str, body: Body) -> str:
    """The status of the answer, or what kept it from coming."""
    headers = {"Content-Type": body.content_type, "Authorization": os.environ["TOKEN"]}
    try:
        connection.request("POST", path, body.data, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException) as error:
        connection.close()  # the next request opens it anew
        return type(error).__name__
    return str(answer.status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
