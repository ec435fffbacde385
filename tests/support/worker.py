"""The TorchServe side of a handler, without a server: the real context, filled as a worker fills it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ts.context import Context, RequestProcessor  # type: ignore[import-untyped]

from handlers.archive import archives


def a_context(
    folder: Path, kind: archives.Kind, gpu_id: int | None = None, **handler_settings: Any
) -> Context:
    """What `initialize` gets, on a CPU unless told: the archive's folder, the shipped YAML with changes."""
    shipped = archives.HERE / "model-config" / f"{archives.NAMES[kind]}.yaml"
    config = yaml.safe_load(shipped.read_text())
    config["handler"] |= handler_settings
    return Context(archives.NAMES[kind], str(folder), {}, 8, gpu_id, "0.12.0", model_yaml_config=config)


def handle(
    handler: Any, context: Context, rows: Sequence[Mapping[str, object]], content_type: str = ""
) -> list[tuple[int, Any]]:
    """Run a batch as a worker does -> the status and the body of each answer."""
    context.request_processor = [
        RequestProcessor({name: {"content-type": content_type} for name in row}) for row in rows
    ]
    bodies = handler.handle([dict(row) for row in rows], context)
    assert len(bodies) == len(rows)
    statuses = [context.get_response_status(index)[0] for index in range(len(rows))]
    return [(status, json.loads(body)) for status, body in zip(statuses, bodies, strict=True)]
