"""The torch that is installed: its version and the CUDA it is built for, read without importing it."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """`cuda` is None for a build for CPUs alone."""

    version: str
    cuda: str | None

    def __str__(self) -> str:
        return f"torch {self.version} for {f'CUDA {self.cuda}' if self.cuda else 'CPUs'}"


def torch_build() -> TorchBuild | None:
    """What torch's own version.py tells; None where there is no torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    told = Path(spec.origin).with_name("version.py").read_text("utf-8")
    values = dict(re.findall(r"^(\w+)\b[^=\n]*= *'([^'\n]*)'", told, re.M))
    return TorchBuild(values.get("__version__", "of unknown version"), values.get("cuda"))
