"""Built means it serves: an archive is loaded as TorchServe's workers do it, and answers a batch, on the CPU.

In a process of its own, so that the archive's `handlers` is the package that a worker would find, not this
repository's. Nothing of handlers/ is imported here.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

TIMEOUT_S = 600.0
LONGEST_REASON = 300  # characters: some of transformers' messages fill a screen
INPUTS: dict[str, tuple[str, list[Any]]] = {
    "text": ("text/plain", ["The kettle is quiet and pours well.", "No."]),
    "embedding": ("text/plain", ["The kettle is quiet and pours well.", "No."]),
    "image": ("image/jpeg", [(64, 48), (40, 200)]),  # width and height of photographs of noise
}


def reason_against(archive: Path, kind: str, scratch: Path) -> str | None:
    """Why the archive can't be served, as one line; None where it answered. `scratch`: room to unpack it."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        with zipfile.ZipFile(archive) as mar:
            mar.extractall(name)
        # What the environment says of the model holds for the server that is started with it, not for this.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HANDLER_")}
        try:
            done = subprocess.run(
                [sys.executable, "-P", __file__, name, kind],
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or f"its process ended with code {done.returncode}").splitlines()[-1]


def main(folder: str, kind: str) -> None:
    """Ends with 0 where every input got an answer, else with a last line on stderr that says why not."""
    sys.path.insert(0, folder)
    os.chdir(folder)
    from ts.context import RequestProcessor  # type: ignore[import-untyped]
    from ts.model_loader import TsModelLoader  # type: ignore[import-untyped]

    content_type, inputs = INPUTS[kind]
    manifest = json.loads(Path("MAR-INF/MANIFEST.json").read_text(encoding="utf-8"))["model"]
    service = TsModelLoader().load(manifest["modelName"], folder, manifest["handler"], None, len(inputs))
    context = service.context
    context.request_ids = {index: str(index) for index in range(len(inputs))}
    context.request_processor = [RequestProcessor({"body": {"content-type": content_type}}) for _ in inputs]
    rows = [{"body": _body(one)} for one in inputs]
    answers = service._entry_point(rows, context)
    for index, answer in enumerate(answers):
        if (status := context.get_response_status(index)[0]) != 200:
            sys.exit(f"it answers {status}: {answer}")
    if len(answers) != len(inputs):
        sys.exit(f"it answers {len(answers)} of {len(inputs)} requests of a batch")


def _body(one: Any) -> object:
    """A text as it is, a size as the JPEG of a picture of noise, the same each time."""
    if isinstance(one, str):
        return one
    from random import Random

    from PIL import Image

    width, height = one
    picture = Image.frombytes("RGB", one, Random(0).randbytes(3 * width * height))
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return bytearray(file.getvalue())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        told = " ".join(str(error).split())
        sys.exit(f"{type(error).__name__}: {told[:LONGEST_REASON]}" if told else type(error).__name__)
