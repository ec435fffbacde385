"""A throw-away nginx on a free loopback port: the fastest server at hand, to find the limits of a client.

Here: its configuration, its start and its end. Not here: what is measured against it (load_generator.py).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REMEDY = "apt-get install wrk nginx-light"
_START_TIMEOUT_S = 10.0

# Paths are relative to the folder given with -p. The answer comes from memory: HTTP alone is measured.
_CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  log_format short '$status $request_method $content_length';
  access_log %(access_log)s;
  keepalive_requests 1000000000;
  client_max_body_size 64m;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {
    listen 127.0.0.1:%(port)d;
    location / { return 200 "ok\\n"; }
    location = /busy { return 503 "no worker\\n"; }
  }
}
"""


class ToolMissingError(Exception):
    """A program that this needs isn't installed."""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx. `/` answers 200 and `/busy` 503; the log has one line an answer, if there is one."""

    url: str
    access_log: Path | None


def tool(name: str) -> str:
    """The path of an installed program. Raises ToolMissingError with the remedy."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    if (path := shutil.which(name, path=places)) is None:
        raise ToolMissingError(f"{name} isn't installed: {REMEDY}")
    return path


@contextmanager
def serving_nginx(*, log: bool = False) -> Iterator[Nginx]:
    """Run nginx with one worker process while the block runs. Raises RuntimeError if it doesn't start."""
    program = tool("nginx")
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        folder = Path(name)
        access_log = folder / "access.log" if log else None
        port = _free_port()
        (folder / "nginx.conf").write_text(
            _CONFIGURATION % {"port": port, "access_log": "access.log short" if log else "off"},
            encoding="utf-8",
        )
        with (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [program, "-p", name, "-e", "stderr", "-c", "nginx.conf"],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            _wait_until_open(port, process, folder / "stderr")
            yield Nginx(f"http://127.0.0.1:{port}/", access_log)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_open(port: int, process: subprocess.Popen[bytes], stderr: Path) -> None:
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError(
        f"nginx didn't start: {stderr.read_text(encoding='utf-8').strip() or 'it said nothing'}"
    )
