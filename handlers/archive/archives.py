"""Host side, `make mar`: a checkpoint -> an archive of each kind, self-contained and with its provenance.

Which checkpoints qualify is said in sources.py, when an archive is built anew in fingerprints.py, what other
engines need in engines/, weights are the business of checkpoints.py: torch is imported only when there is
something to build, so asking again takes no time.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from handlers.archive.engines.asked import ONLY_TORCH, Engines, export_into, note_parity_of, why_missing
from handlers.archive.fingerprints import CORPUS as CORPUS
from handlers.archive.fingerprints import HERE as HERE
from handlers.archive.fingerprints import SEED as SEED
from handlers.archive.fingerprints import fingerprint, shared_files
from handlers.archive.image_recipes import image_recipe_of
from handlers.archive.sentence_models import recipe_of
from handlers.archive.sources import CheckpointError, check, first_line, how_served, locate
from handlers.archive.trial import reason_against
from handlers.engine.names import EngineError

Kind = Literal["text", "image", "embedding"]

PROVENANCE = "provenance.json"

RANDOM_ARCHITECTURES: dict[Kind, str] = {
    "text": "BertForSequenceClassification",
    "image": "ResNetForImageClassification",
    "embedding": "BertModel",
}
RANDOM_NOTE = "weights are random: speed is representative, predictions are not"

# kind -> the handler's module, which also names its YAML, the archive and the model.
NAMES: dict[Kind, str] = {"text": "bert", "image": "resnet50", "embedding": "embeddings"}


class ArchiveError(Exception):
    """An archive that can't be built or read: one line with the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an archive comes from. Of a foreign archive nothing is known: kind "unknown", the rest None.

    `engines` are those beside torch that it was built for, `int8` tells whether in 8-bit whole numbers too.
    """

    kind: Literal["text", "image", "embedding", "unknown"] = "unknown"
    architecture: str | None = None
    source: str | None = None
    random_weights: bool | None = None
    seed: int | None = None
    fingerprint: str | None = None
    note: str = ""
    engines: tuple[str, ...] = ()
    int8: bool = False


def build(
    kind: Kind,
    source: str | Path | None,
    out: Path,
    *,
    name: str | None = None,
    trial: bool = True,
    engines: Engines = ONLY_TORCH,
) -> Path:
    """Build `<out>/<name>.mar`, or leave it where nothing has changed since it was built.

    `source` is a checkpoint's folder or model hub id; None stands for the full-size architecture with seeded
    random weights. `name` is that of NAMES unless told. Without a `trial` it is not tried whether the archive
    serves, nor compared what its `engines` answer. Raises ArchiveError,
    CheckpointError and EngineError.
    """
    archive = out / f"{name or NAMES[kind]}.mar"
    folder = _checked(kind, source)
    provenance = _provenance(kind, source, folder, engines)
    if not _is_current(archive, provenance):
        if reason := why_missing(engines):
            raise EngineError(reason)
        out.mkdir(parents=True, exist_ok=True)
        # Beside the archive, so that moving it into place is atomic: never half an archive under its name.
        with tempfile.TemporaryDirectory(prefix=".build-", dir=out) as name_of_work:
            work = Path(name_of_work).resolve()
            packed = _pack(kind, folder, provenance, engines, archive.stem, work)
            if trial and (reason := reason_against(packed, kind, work)):
                raise ArchiveError(f"{source or 'random weights'} can't be served: {reason}")
            if trial:
                # Scaled up until they tell inputs apart, random weights blow up rounding, too.
                lenient = replace(engines, accept_parity=engines.accept_parity or source is None)
                note_parity_of(packed, kind, lenient, CORPUS.read_text("utf-8").splitlines(), work)
            packed.replace(archive)
    return archive


def is_current(kind: Kind, source: str | Path | None, archive: Path, engines: Engines = ONLY_TORCH) -> bool:
    """Would `build` leave this archive as it is? Raises CheckpointError for a source that can't be served."""
    return _is_current(archive, _provenance(kind, source, _checked(kind, source), engines))


def read_provenance(archive: Path) -> Provenance:
    """What an archive says of itself. Raises ArchiveError when it is missing or no archive."""
    try:
        with zipfile.ZipFile(archive) as mar:
            told = json.loads(mar.read(PROVENANCE)) if PROVENANCE in mar.namelist() else None
    except FileNotFoundError:
        raise ArchiveError(
            f"no such archive: {archive}. `make mar` builds bert.mar, resnet50.mar and embeddings.mar"
        ) from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"{archive} is not a readable .mar archive: {error}") from None
    if not isinstance(told, dict) or told.get("kind") not in NAMES:
        return Provenance()
    known = {field.name: told[field.name] for field in fields(Provenance) if field.name in told}
    return Provenance(**known | {"engines": tuple(known.get("engines", ()))})


def _checked(kind: Kind, source: str | Path | None) -> Path | None:
    """The folder of a source that the handler can serve; None where the weights shall be random."""
    if source is None:
        return None
    folder = locate(str(source))
    check(folder, kind)
    if kind == "embedding":
        recipe_of(folder)
    elif kind == "image":
        image_recipe_of(folder)
    return folder


def _provenance(kind: Kind, source: str | Path | None, folder: Path | None, engines: Engines) -> Provenance:
    """What an archive made now would say of itself: known before any weight is read."""
    recipe = recipe_of(folder) if folder and kind == "embedding" else None
    found = fingerprint(NAMES[kind], source, folder, recipe, engines.tools)
    beside = engines.names, engines.int8
    if folder is None:
        return Provenance(kind, RANDOM_ARCHITECTURES[kind], "random", True, SEED, found, RANDOM_NOTE, *beside)
    told = str(source), False, None, found, how_served(folder)
    return Provenance(kind, check(folder, kind), *told, *beside)


def _pack(
    kind: Kind, folder: Path | None, provenance: Provenance, engines: Engines, name: str, work: Path
) -> Path:
    """Lay out the archive's content under `work` and have torch-model-archiver pack it there."""
    content = work / "content"
    for file in shared_files():
        (content / "handlers" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / file, content / "handlers" / file)
    _write_checkpoint(kind, folder, content)
    export_into(content, kind, engines)
    (content / PROVENANCE).write_text(json.dumps(asdict(provenance), indent=2) + "\n", "utf-8")
    shutil.copy(HERE / f"{NAMES[kind]}.py", work)
    shutil.copy(HERE / "model-config" / f"{NAMES[kind]}.yaml", work / "model-config.yaml")
    _run_archiver(name, f"{NAMES[kind]}.py", work)
    return work / f"{name}.mar"


def _write_checkpoint(kind: Kind, folder: Path | None, content: Path) -> None:
    from handlers.archive import checkpoints  # imports torch

    if folder is not None:
        resave = {
            "text": checkpoints.resave_text,
            "image": checkpoints.resave_image,
            "embedding": checkpoints.resave_embedding,
        }
        try:
            resave[kind](folder, content)
        except CheckpointError:
            raise
        except Exception as error:  # of many types, and a checkpoint can be wrong in many ways
            told = f"{type(error).__name__}: {first_line(error)}"
            raise CheckpointError(f"{folder} can't be read: {told}") from error
    else:
        _draw(kind, content)


def _draw(kind: Kind, content: Path) -> None:
    """A checkpoint of full size with seeded random weights into the folder."""
    from handlers.archive import checkpoints, telling_apart  # import torch

    corpus = CORPUS.read_text("utf-8").splitlines()
    if kind == "text":
        checkpoints.random_text(content, checkpoints.bert_base(), corpus, SEED)
        telling_apart.tell_texts_apart(content, corpus)
    elif kind == "image":
        checkpoints.random_image(content, checkpoints.resnet50(), SEED)
        telling_apart.tell_images_apart(content, SEED)
    else:
        checkpoints.random_embedding(content, checkpoints.minilm(), corpus, SEED)


def _run_archiver(name: str, handler: str, work: Path) -> None:
    """The archiver copies everything to TMPDIR/<name>, whoever else uses that, and splits paths at commas:
    it gets a TMPDIR of its own, and relative paths. Weights don't compress, so they are just stored."""
    scratch = work / "scratch"
    scratch.mkdir()
    command = [
        sys.executable,
        "-m",
        "model_archiver.model_packaging",
        "--model-name",
        name,
        "--version",
        "1.0",
    ]
    command += ["--handler", handler, "--extra-files", "content", "--config-file", "model-config.yaml"]
    command += ["--archive-format", "zip-store", "--export-path", "."]
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise ArchiveError(f"torch-model-archiver failed for {name}.mar: {said}")


def _is_current(archive: Path, provenance: Provenance) -> bool:
    try:
        return read_provenance(archive) == provenance
    except ArchiveError:
        return False
