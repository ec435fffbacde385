"""The pool of different requests a trial draws from: texts of several lengths, or photographs.

What a model is fed decides what it costs, so the pool is deterministic, and results name it.
"""

import io
import mimetypes
from pathlib import Path

from experiments.errors import UsageError
from experiments.load import Body

CORPUS = Path(__file__).resolve().parent.parent / "handlers" / "corpus.txt"
TEXT_WORDS = (8, 16, 32, 64)  # short query, sentence, review, paragraph
TEXTS_PER_LENGTH = 8
# Crops of the photograph as shares of its height: different content and size, decoded like any upload.
PHOTO_SHARES = (1.0, 0.9, 0.8, 0.7)


def pool_for(kind: str, given: str | None) -> list[Body]:
    """The request bodies for a model of `kind` ("text" or "image"), or those in `given`, a file or folder.

    Raises UsageError when the kind is unknown and no input was given, or the input can't be read.
    """
    if given is not None:
        return _bodies_from(Path(given))
    if kind == "text":
        return [Body(text.encode(), "text/plain; charset=utf-8") for text in texts()]
    if kind == "image":
        return [Body(photo, "image/jpeg") for photo in photographs()]
    raise UsageError("this archive doesn't say whether it takes texts or images: give --input FILE")


def texts() -> list[str]:
    """Texts of each length in TEXT_WORDS, cut from the repository's corpus."""
    words = CORPUS.read_text().split()
    pool = []
    start = 0
    for length in TEXT_WORDS:
        for _ in range(TEXTS_PER_LENGTH):
            pool.append(" ".join(words[start : start + length]))
            start = (start + length) % (len(words) - max(TEXT_WORDS))
    return pool


def photographs() -> list[bytes]:
    """JPEG files made from matplotlib's sample photograph (512 x 600 pixels), the first one unchanged."""
    import matplotlib as mpl
    from PIL import Image

    original = (Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg").read_bytes()
    image = Image.open(io.BytesIO(original))
    pool = [original]
    for share in PHOTO_SHARES[1:]:
        out = io.BytesIO()
        image.crop((0, 0, image.width, int(image.height * share))).save(out, "JPEG", quality=90)
        pool.append(out.getvalue())
    return pool


def _bodies_from(path: Path) -> list[Body]:
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"--input {path}: the folder holds no file")
    try:
        return [Body(file.read_bytes(), _content_type(file)) for file in files]
    except OSError as error:
        raise UsageError(f"--input {path}: {error.strerror}") from error


def _content_type(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"
