"""An unpacked archive of ours -> its handler, loaded as a TorchServe worker loads it, without TorchServe.

Whatever serves it then calls `predict(texts)`, the same function in every server; a model of images takes the
base64 of their files. As a program it answers the texts of standard input, a JSON list, each alone, with the
predictions on standard output: the handler run directly.
"""

import base64
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

FAILED = "failed-to-load"

Predict = Callable[[Sequence[str]], Any]
"""n texts or images -> n lists of {"label", "probability"}; of embeddings a NumPy array, n x size, fp32."""


def asked() -> dict[str, Any]:
    """What to serve: {"host", "port", "models": [{"name", "folder", "workers", "batch_size",
    "batch_delay_ms", "inputs", "tells_vectors"}]}, from the file that the environment names."""
    return dict(json.loads(Path(os.environ["SERVED_MODELS"]).read_text("utf-8")))


def takes_images(folder: str) -> bool:
    """Whether the archive's model classifies images: those come with a recipe of how to scale them."""
    return (Path(folder) / "preprocessor_config.json").is_file()


def load(folder: str, batch_size: int) -> Predict:
    """The `predict` of the archive's handler.

    Notes this process in the temporary folder, by which whoever started the server knows its workers, or why
    it can't be loaded: the servers say that in many ways, or begin anew for ever.
    """
    try:
        predict = _loaded(folder, batch_size)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        (Path(tempfile.gettempdir()) / FAILED).write_text(told, "utf-8")
        raise
    (Path(tempfile.gettempdir()) / f"{os.getpid()}.{Path(folder).name}.worker").touch()
    return predict


def _loaded(folder: str, batch_size: int) -> Predict:
    if folder not in sys.path:
        sys.path.insert(0, folder)  # `handlers` is the archive's
    manifest = json.loads((Path(folder) / "MAR-INF" / "MANIFEST.json").read_text("utf-8"))["model"]
    config = Path(folder) / manifest.get("configFile", "model-config.yaml")
    context = SimpleNamespace(
        model_yaml_config=yaml.safe_load(config.read_text("utf-8")),
        system_properties={"model_dir": folder, "gpu_id": None, "batch_size": batch_size},
    )
    handler = _handler_class(Path(folder) / manifest["handler"])()
    handler.initialize(context)
    return _of_images(handler) if takes_images(folder) else _of_texts(handler)


def plain(prediction: Any) -> Any:
    """As JSON can hold it: a vector as a list."""
    return prediction.tolist() if hasattr(prediction, "tolist") else prediction


def _of_texts(handler: Any) -> Predict:
    """Tensors of vectors become arrays, which any server can tell."""

    def predict(texts: Sequence[str]) -> Any:
        found = handler.predict(list(texts))
        return found.numpy() if hasattr(found, "numpy") else found

    return predict


def _of_images(handler: Any) -> Predict:
    """Decodes and scales in as many threads as the handler does when TorchServe runs it."""

    def predict(images: Sequence[str]) -> Any:
        scaled = handler.each(handler.read_item, map(base64.b64decode, images))
        return list(handler.predict(list(scaled)))

    return predict


def _handler_class(source: Path) -> Any:
    """TorchServe wants exactly one class in a handler's file: it is the one of that module itself."""
    spec = importlib.util.spec_from_file_location(f"{source.parent.name}_{source.stem}", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = (
        each for each in vars(module).values() if isinstance(each, type) and each.__module__ == spec.name
    )
    return found


if __name__ == "__main__":
    predict = load(sys.argv[1], 1)
    json.dump([plain(predict([text])[0]) for text in json.load(sys.stdin)], sys.stdout)
