"""Files of a results folder that come to harm between a kill and the run that goes on."""

import os
from pathlib import Path

TRIALS = "trials.jsonl"
DAMAGED_TRIALS = ("torn line", "cut results", "a zero byte")


def damage(out: Path, how: str, detail: float) -> str | None:
    """Does it; returns what was done, None where there is nothing yet to be harmed. `detail` in [0, 1)."""
    if how in DAMAGED_TRIALS:
        return _in_trials(out / TRIALS, how, detail)
    files = sorted((out / "requests").glob("*.npz")) if how == "cut requests" else [out / "environment.json"]
    files = [each for each in files if each.exists()]
    if not files:
        return None
    path = files[int(detail * len(files))]
    size = path.stat().st_size
    os.truncate(path, int(detail * size))
    return f"{path.name} cut from {size} to {int(detail * size)} bytes"


def _in_trials(path: Path, how: str, detail: float) -> str | None:
    content = path.read_bytes() if path.exists() else b""
    at = int(detail * len(content))
    if not content:
        return None
    if how == "torn line":
        last = content.rstrip(b"\n").rpartition(b"\n")[2]
        path.write_bytes(content + last[: int(detail * len(last))])
        return f"{int(detail * len(last))} bytes of another line appended"
    if how == "cut results":
        os.truncate(path, at)
        return f"{path.name} cut from {len(content)} to {at} bytes"
    path.write_bytes(content[:at] + b"\0" + content[at + 1 :])
    return f"byte {at} of {path.name} zeroed"


def without_line(out: Path, number: int) -> None:
    """Removes a line of trials.jsonl, counted from 1, as its reader advises."""
    lines = (out / TRIALS).read_bytes().split(b"\n")
    del lines[number - 1]
    (out / TRIALS).write_bytes(b"\n".join(lines))
