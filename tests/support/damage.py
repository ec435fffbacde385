"""Ways in which the files of a results folder come to harm: bytes, JSON values, lines, whole files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

FILES = ("plan.json", "environment.json", "ceilings.json", "trials.jsonl")
UGLY: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        "",
        "many",
        "12",
        "\ud800",
        "a\nb",
        "\u202e<b>",
        "\x00",
        [],
        [None],
        [[1]],
        {},
        {"a": 1},
    ),
    *(0, -1, 1, 10**9, 10**17, 10**30, 10**400, 1.5, -0.0, 1e-300, 1e17, 1e300, float("nan"), float("inf")),
)


def damage(folder: Path, seed: int) -> str:
    """Harms one file of a results folder and says how."""
    random = Random(seed)
    path = folder / random.choices(FILES, weights=(2, 2, 2, 4))[0]
    how: Callable[[Path, Random], str] = random.choices(
        (_bytes, _value, _line, _file), weights=(3, 10, 2, 1)
    )[0]
    return f"{path.name}: {how(path, random)}"


def _bytes(path: Path, random: Random) -> str:
    content = bytearray(path.read_bytes())
    at = random.randrange(len(content))
    to = min(len(content), at + random.choice((1, 3, 50)))
    new = random.choice(
        (b"", b"\xff", b"\n", b"NaN", b'"', b"9" * 5000, b"[" * 5000, b"e99", bytes([random.randrange(256)]))
    )
    content[at:to] = new
    path.write_bytes(content if random.random() < 0.8 else content[:at])
    return f"{new[:20]!r} in place of bytes {at} to {to}"


def _value(path: Path, random: Random) -> str:
    lines = (
        path.read_text(encoding="utf-8").splitlines()
        if path.suffix == ".jsonl"
        else [path.read_text(encoding="utf-8")]
    )
    number = random.randrange(len(lines))
    value = json.loads(lines[number])
    holder, key, where = value, None, []
    while isinstance(holder, dict | list) and holder:
        key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        where.append(key)
        if not isinstance(holder[key], dict | list) or not holder[key] or random.random() < 0.3:
            break
        holder = holder[key]
    if random.random() < 0.15:
        del holder[key]
        told = "gone"
    else:
        holder[key] = random.choice(UGLY)
        told = repr(holder[key])[:40]
    lines[number] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {number + 1}, {where} is {told}"


def _line(path: Path, random: Random) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    how = random.choice(("doubled", "gone", "empty", "in another's place"))
    if how == "doubled":
        lines.insert(other, lines[at])
    elif how == "gone":
        del lines[at]
    else:
        lines[at] = "" if how == "empty" else lines[other]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {at + 1} {how} ({other + 1})"


def _file(path: Path, random: Random) -> str:
    how = random.choice(("gone", "empty", "a folder", "of bytes", "a link to itself"))
    path.unlink()
    if how == "empty":
        path.write_text("", encoding="utf-8")
    elif how == "a folder":
        path.mkdir()
    elif how == "of bytes":
        path.write_bytes(random.randbytes(200))
    elif how == "a link to itself":
        path.symlink_to(path.name)
    return how


def fresh_copy(of: Path, to: Path) -> Path:
    """The files of a results folder that a report is made from, in a new folder."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for name in FILES:
        if (of / name).exists():
            shutil.copy(of / name, to / name)
    return to
