"""What the benchmarks serve and send: archives with seeded random weights, and inputs of one size each.

Here: models of published sizes, the same weights under another handler, texts and photographs. The handlers
themselves, ours and the re-created stock ones, live elsewhere.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import matplotlib as mpl
import transformers
from PIL import Image

from experiments.bench.inputs import texts_of_tokens
from experiments.load import Body
from handlers.archive import checkpoints
from handlers.archive.archives import CORPUS, SEED, build

MANIFEST = "MAR-INF/MANIFEST.json"
JPEG_QUALITY = 90
# Where a crop of the photograph lies, from its top (0) to its bottom (1): different content, same size.
CROP_POSITIONS = (0.0, 0.35, 0.7, 1.0)


def minilm_archive(folder: Path) -> Path:
    """`<folder>/minilm.mar`: a classifier of MiniLM-L6's size, 6 layers of 384 (22.7 million weights)."""
    checkpoint = folder / "minilm-checkpoint"
    if checkpoint.exists():
        return folder / "minilm.mar"
    checkpoint.mkdir(parents=True)
    labels = {0: "negative", 1: "positive"}
    config = transformers.BertConfig(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label=labels,
        label2id={name: number for number, name in labels.items()},
    )
    checkpoints.random_text(checkpoint, config, CORPUS.read_text("utf-8").splitlines(), SEED)
    return build("text", checkpoint, folder, name="minilm")


def bert_base_archive(folder: Path) -> Path:
    """`<folder>/bert_base.mar`: a classifier of BERT-base's size, 12 layers of 768."""
    return build("text", None, folder, name="bert_base")


def resnet50_archive(folder: Path) -> Path:
    """`<folder>/resnet50.mar`: a ResNet50 with 1,000 labels."""
    return build("image", None, folder, name="resnet50")


def with_handler(archive: Path, handler: Path) -> Path:
    """The checkpoint of `archive` under another handler -> `stock-<name>.mar` beside it."""
    target = archive.with_name(f"stock-{archive.name}")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as mar:
        manifest = json.loads(source.read(MANIFEST))
        model = manifest["model"]
        ours = (model["handler"], model.pop("configFile", None), MANIFEST)
        for name in source.namelist():
            if name not in ours and not name.startswith("handlers/"):
                mar.writestr(name, source.read(name))
        model["handler"] = handler.name
        mar.writestr(handler.name, handler.read_text("utf-8"))
        mar.writestr(MANIFEST, json.dumps(manifest))
    return target


def texts(archive: Path, tokens: int) -> list[Body]:
    """Different texts of exactly `tokens` tokens each by the archive's own tokenizer."""
    return [Body(text.encode(), "text/plain; charset=utf-8") for text in texts_of_tokens(archive, tokens)]


def photographs(width: int, height: int) -> list[Body]:
    """JPEGs of `width` x `height` made of matplotlib's sample photograph (512 x 600)."""
    original = Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    crop_height = round(original.width * height / width)
    if crop_height > original.height:
        raise ValueError(f"{width} x {height} is taller than the photograph: give a wider shape")
    return [
        _jpeg(original, round(share * (original.height - crop_height)), crop_height, (width, height))
        for share in CROP_POSITIONS
    ]


def _jpeg(original: Image.Image, upper: int, crop_height: int, size: tuple[int, int]) -> Body:
    crop = original.crop((0, upper, original.width, upper + crop_height))
    out = io.BytesIO()
    crop.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=JPEG_QUALITY)
    return Body(out.getvalue(), "image/jpeg")
