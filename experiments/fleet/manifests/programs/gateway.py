"""The gateway of an instance: nginx, which lets in who has a token of the fleet's and knows TorchServe's own.

TorchServe draws its tokens anew at every start, each instance its own, so no client of several instances
could know them. A client shows `Authorization: Bearer TOKEN` with one of the lines of --tokens (or of the
variable GATEWAY_TOKENS), and is answered at /predictions/MODEL, /ping and /metrics, nowhere else. The tokens
of a file `metrics` beside --tokens are let in at /metrics alone. When TorchServe has started again, its new
tokens are read; when the fleet's have changed, those.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

TEMPLATE = Path(__file__).with_name("nginx.conf.j2")
VARIABLE = "GATEWAY_TOKENS"
TOKEN = re.compile(r"[A-Za-z0-9_-]{32,200}")  # nothing that nginx reads as more than a letter
RULE = "32 or more letters, digits, '-' and '_', one a line"
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
ADDRESS = re.compile(r"[0-9.]{7,15}:[0-9]{1,5}")
PERIOD_S = 1.0


def main() -> None:
    """Ends with nginx, or when it is told to."""
    signal.signal(signal.SIGTERM, _end)  # else the first process of a container would not hear it
    options = _options()
    work = Path(os.environ.get("TMPDIR", "/tmp")) / "gateway"  # noqa: S108 - a volume of the container's own
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    while _changed(options, 0.0) == 0.0:  # TorchServe has not started yet
        time.sleep(PERIOD_S / 5)
    read_at = _changed(options, 0.0)
    try:
        configuration = _written(options, work)
    except ValueError as error:
        sys.exit(f"error: {error}")
    nginx = subprocess.Popen(
        ["nginx", "-e", "stderr", "-p", str(work), "-c", str(configuration), "-g", "daemon off;"]
    )

    def end(number: int, frame: FrameType | None) -> None:
        nginx.send_signal(signal.SIGQUIT)  # answers on their way are sent first

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while nginx.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            nginx.wait(PERIOD_S)
        if (changed := _changed(options, read_at)) != read_at:
            read_at = changed
            try:
                _written(options, work)
                nginx.send_signal(signal.SIGHUP)
            except (OSError, ValueError, LookupError) as error:
                print(f"error: {error}; those from before stay", file=sys.stderr, flush=True)
    sys.exit(nginx.returncode)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=_matching(NAME))
    parser.add_argument("--keys", type=Path, required=True, help="TorchServe's key_file.json")
    parser.add_argument(
        "--tokens", type=Path, required=True, help=f"the fleet's, one a line; else ${VARIABLE}"
    )
    parser.add_argument("--listen", required=True, type=_matching(ADDRESS))
    parser.add_argument("--inference", required=True, type=_matching(ADDRESS))
    parser.add_argument("--metrics", required=True, type=_matching(ADDRESS))
    return parser.parse_args()


def _matching(pattern: "re.Pattern[str]") -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not like {pattern.pattern}")
        return text

    return read


def _changed(options: argparse.Namespace, before: float) -> float:
    """When what is read was last written, in seconds; `before` while TorchServe's file is not there or half
    written."""
    with suppress(OSError, ValueError, KeyError):
        key_of(options.keys)
        times: list[float] = [options.keys.stat().st_mtime]
        with suppress(OSError):
            times.append(options.tokens.stat().st_mtime)
        return max(times)
    return before


def _written(options: argparse.Namespace, work: Path) -> Path:
    from jinja2 import Environment, StrictUndefined

    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(  # noqa: S701 - no HTML
        TEMPLATE.read_text("utf-8")
    )
    text = template.render(
        work=work,
        model=options.model,
        listen=options.listen,
        inference=options.inference,
        metrics=options.metrics,
        key=key_of(options.keys),
        tokens=tokens_of(options.tokens),
        metrics_tokens=metrics_tokens_of(options.tokens.with_name("metrics")),
    )
    path = work / "nginx.conf"
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
    return path


def key_of(file: Path) -> str:
    """TorchServe's token for inference. Raises OSError, ValueError or KeyError while it is not there."""
    key = str(json.loads(file.read_text("utf-8"))["inference"]["key"])
    if not re.fullmatch(r"[A-Za-z0-9_=+/-]{4,200}", key):
        raise ValueError("no token of TorchServe's")
    return key


def tokens_of(file: Path) -> list[str]:
    """The fleet's tokens. Raises ValueError where there are none, or one that is too easily guessed."""
    text = file.read_text("utf-8") if file.exists() else os.environ.get(VARIABLE, "")
    tokens = text.split()
    if not tokens or not all(map(TOKEN.fullmatch, tokens)):
        raise ValueError(f"{file} or ${VARIABLE}: give tokens of {RULE}")
    return tokens


def metrics_tokens_of(file: Path) -> list[str]:
    """Those that are let in at /metrics alone. Raises ValueError for one that is too easily guessed."""
    tokens = file.read_text("utf-8").split() if file.exists() else []
    if not all(map(TOKEN.fullmatch, tokens)):
        raise ValueError(f"{file}: give tokens of {RULE}")
    return tokens


if __name__ == "__main__":
    main()
