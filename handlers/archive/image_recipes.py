"""Host side: what a checkpoint says of how images are prepared for it, or a clear refusal.

Finds the recipe where transformers looks for it; what its keys mean is said in handlers/image/recipe.py, with
which the worker reads it too.
"""

import json
from pathlib import Path
from typing import Any

from handlers.archive.sources import CheckpointError
from handlers.image.recipe import RecipeError, resolve

# The newer file holds the recipe under a key, if at all, and goes before the older one.
PROCESSOR, PREPROCESSOR = "processor_config.json", "preprocessor_config.json"


def image_recipe_of(folder: Path) -> dict[str, Any] | None:
    """The recipe of a checkpoint, word for word; None: it has none. Raises CheckpointError for one that the
    image handler can't follow."""
    processor = _read(folder / PROCESSOR)
    path, told = folder / PROCESSOR, processor.get("image_processor") if isinstance(processor, dict) else None
    if told is None:
        path, told = folder / PREPROCESSOR, _read(folder / PREPROCESSOR)
    if told is None:
        return None
    try:
        resolve(told)
    except RecipeError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return dict(told)


def _read(path: Path) -> Any:
    """A file's JSON; None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
