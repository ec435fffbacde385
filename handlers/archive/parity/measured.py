"""An archive -> the parity of its engines, measured in a process of its own, and its file in the archive."""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from handlers.archive.parity import inside
from handlers.archive.parity.differences import Outputs, Parity, parity_of
from handlers.engine.names import PACKAGES, PRECISIONS, TORCH, EngineError, file_of

FILE = "parity.json"
TIMEOUT_S = 3600.0
REFERENCE = (TORCH, "fp32")
EXACT = (TORCH, "fp64")
"""How far the reference itself is from right: fp32 rounds, and other engines round otherwise."""

Variant = tuple[str, str]
"""An engine, and the precision in which it calculates."""


def variants_of(engines: Sequence[str], held: Sequence[str]) -> list[Variant]:
    """Each of `engines` in each of its precisions, as far as an archive with the files `held` has them; torch
    in fp64."""
    return [EXACT] * (TORCH in engines) + [
        (engine, precision)
        for engine in engines
        for precision in PRECISIONS.get(engine, ())
        if file_of(engine, precision) in held
    ]


def measured(
    archive: Path, kind: str, variants: Sequence[Variant], texts: Sequence[str], source: str, scratch: Path
) -> list[Parity]:
    """The parity of each variant over `texts`, or over pictures of our own where the kind is "image".

    Without those that this CPU has no arithmetic for. `source` says whose texts they are; `scratch` has room
    to unpack the archive. Raises EngineError where the archive can't be served with one of them.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        work = Path(name).resolve()
        with zipfile.ZipFile(archive) as mar:
            mar.extractall(work / "unpacked")
        (work / "texts.json").write_text(json.dumps(list(texts)), "utf-8")
        asked = [REFERENCE, *variants]
        arguments = [str(work / "unpacked"), kind, json.dumps(asked), str(work / "texts.json")]
        _run([*arguments, str(work / "out.npz")])
        with np.load(work / "out.npz") as arrays:
            outputs = {
                number: Outputs(arrays[f"values-{number}"], arrays.get(f"probabilities-{number}"))
                for number in range(len(asked))
                if f"values-{number}" in arrays
            }
    return [
        parity_of(*asked[number], version(PACKAGES.get(asked[number][0], TORCH)), source, outputs[0], found)
        for number, found in outputs.items()
        if number
    ]


def read_parity(archive: Path) -> list[Parity]:
    """What is noted in the archive; nothing where nothing is, or what is noted is none of ours."""
    with zipfile.ZipFile(archive) as mar:
        if FILE not in mar.namelist():
            return []
        try:
            return [Parity(**one) for one in json.loads(mar.read(FILE))]
        except (ValueError, TypeError):
            return []


def note_parity(archive: Path, found: Sequence[Parity]) -> None:
    """Add to the archive's notes, in place of earlier ones of the same engine and precision, what can be
    served."""
    served = [one for one in found if (one.engine, one.precision) != EXACT]
    if not served:
        return
    new = {(one.engine, one.precision): one for one in [*read_parity(archive), *served]}
    text = json.dumps([asdict(one) for one in new.values()], indent=2) + "\n"
    with zipfile.ZipFile(archive) as mar:
        others = [name for name in mar.namelist() if name != FILE]
        if len(others) == len(mar.namelist()):
            others = []
    if not others:
        with zipfile.ZipFile(archive, "a") as mar:
            mar.writestr(FILE, text)
        return
    whole = archive.with_name(f".{archive.name}.new")  # a zip file can't lose a member: written anew
    try:
        with zipfile.ZipFile(archive) as old, zipfile.ZipFile(whole, "w") as mar:
            for name in others:
                mar.writestr(old.getinfo(name), old.read(name))
            mar.writestr(FILE, text)
        whole.replace(archive)
    finally:
        whole.unlink(missing_ok=True)


def _run(arguments: Sequence[str]) -> None:
    # What the environment says of the model holds for the server that is started with it, not for this.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HANDLER_")}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(inside.__file__), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"no outputs within {TIMEOUT_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip() or f"its process ended with code {done.returncode}").splitlines()[-1]
        raise EngineError(last)
