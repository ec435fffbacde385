"""Writes requirements.lock: every package, exactly pinned, that pyproject.toml leads to today.

Installs into a throw-away virtual environment and freezes it, so the lock is what pip really chose.
torch's local version label (+cpu, +cu130) is dropped: the build that fits the machine is taken.

    python scripts/lock.py > requirements.lock
"""

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUDA_OF_TORCH = ("nvidia-c", "nvidia-n", "triton", "cuda-")  # torch's own metadata pins these exactly
KEEP = ("nvidia-ml-py",)


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip"]
        subprocess.run([*pip, "install", "-q", *wanted, *sys.argv[1:]], check=True, stdout=sys.stderr)
        frozen = subprocess.run(
            [*pip, "freeze", "--all", "--exclude", "pip"], check=True, capture_output=True, text=True
        ).stdout
    print("# Written by `make lock` from pyproject.toml. Don't edit.")
    for line in frozen.splitlines():
        if line.startswith(KEEP) or not line.startswith(CUDA_OF_TORCH):
            print(line.split("+")[0])


if __name__ == "__main__":
    main()
