"""The pool of different requests a trial draws from: texts of several lengths, or photographs.

What a model is fed decides what it costs, so the pool is deterministic, and results name it.
"""

import io
import json
import mimetypes
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.load import Body

T = TypeVar("T")

CORPUS = ROOT / "handlers" / "corpus.txt"
TEXT_KINDS = ("text", "embedding")
TEXT_WORDS = (8, 16, 32, 64)  # short query, sentence, review, paragraph
TEXTS_PER_LENGTH = 8
# Crops of the photograph as shares of its height: different content and size, decoded like any upload.
PHOTO_SHARES = (1.0, 0.9, 0.8, 0.7)


def pool_for(
    kind: str,
    given: str | None,
    tokens: int | None = None,
    archive: Path | None = None,
    client_batch: int = 1,
) -> list[Body]:
    """The request bodies for a model of `kind` ("text", "embedding" or "image"), or those in `given`: a file
    or folder.

    With `tokens`, texts that `archive`'s tokenizer turns into so many tokens each; `client_batch` texts share
    a request. Raises UsageError when the kind is unknown and no input was given, the input can't be read, a
    text can't have that length, or images are to share a request.
    """
    if given is not None:
        return _bodies_from(Path(given))
    if kind not in TEXT_KINDS and (tokens is not None or client_batch > 1):
        raise UsageError("--tokens and --client-batch are for models that take texts: drop them")
    if kind in TEXT_KINDS:
        pool = texts() if tokens is None or archive is None else texts_of_tokens(archive, tokens)
        return _of_texts(pool, client_batch)
    if kind == "image":
        return [Body(photo, "image/jpeg") for photo in photographs()]
    raise UsageError("this archive doesn't say whether it takes texts or images: give --input FILE")


def spread(things: Sequence[T], most: int) -> list[T]:
    """All of them or, of more than `most`, so many, evenly spread."""
    if len(things) <= most:
        return list(things)
    return [things[index * len(things) // most] for index in range(most)]


def _of_texts(pool: list[str], client_batch: int) -> list[Body]:
    """A request for each text or, where several share one, as many requests, of JSON lists."""
    if client_batch == 1:
        return [Body(text.encode(), "text/plain; charset=utf-8") for text in pool]
    lists = [[pool[(start + step) % len(pool)] for step in range(client_batch)] for start in range(len(pool))]
    return [Body(json.dumps(each).encode(), "application/json") for each in lists]


def texts() -> list[str]:
    """Texts of each length in TEXT_WORDS, cut from the repository's corpus."""
    words = CORPUS.read_text("utf-8").split()
    pool = []
    start = 0
    for length in TEXT_WORDS:
        for _ in range(TEXTS_PER_LENGTH):
            pool.append(" ".join(words[start : start + length]))
            start = (start + length) % (len(words) - max(TEXT_WORDS))
    return pool


def texts_of_tokens(archive: Path, tokens: int) -> list[str]:
    """Texts of exactly `tokens` tokens, [CLS] and [SEP] included, by the tokenizer in the archive."""
    from tokenizers import Tokenizer

    with zipfile.ZipFile(archive) as mar:
        tokenizer = Tokenizer.from_buffer(mar.read("tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    words = CORPUS.read_text("utf-8").split()
    start = 0
    pool: list[str] = []
    while len(pool) < len(TEXT_WORDS) * TEXTS_PER_LENGTH and start < len(words):
        if text := _text_of_tokens(words[start:] + words[:start], tokens, tokenizer):
            pool.append(text)
        start += max(1, tokens // 2)
    if not pool:
        raise UsageError(
            f"no text of exactly {tokens} tokens can be made with this tokenizer: try another --tokens"
        )
    return pool


def _text_of_tokens(words: list[str], tokens: int, tokenizer: Any) -> str | None:
    """The shortest text of the leading words that has `tokens` tokens, None where a word leaps over it."""
    for count in range(1, tokens + 1):
        length = len(tokenizer.encode(" ".join(words[:count])).ids)
        if length >= tokens:
            return " ".join(words[:count]) if length == tokens else None
    return None


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
    """A file, or those of a folder but for hidden ones such as .DS_Store; its sub-folders are left alone."""
    if not path.exists():
        raise UsageError(f"--input {path}: No such file or directory")
    if not (path.is_dir() or path.is_file()):
        raise UsageError(f"--input {path}: neither a file nor a folder")
    try:
        files = sorted(filter(_is_input, path.iterdir())) if path.is_dir() else [path]
        if not files:
            raise UsageError(
                f"--input {path}: the folder holds no file that is not hidden, beside sub-folders"
            )
        return [Body(file.read_bytes(), _content_type(file), file.name) for file in files]
    except OSError as error:
        raise UsageError(f"--input {error.filename or path}: {error.strerror}") from error


def _is_input(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _content_type(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"
