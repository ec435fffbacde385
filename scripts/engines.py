"""What `make setup ENGINES=...` installs, as requirements for pip: the extras of pyproject.toml.

python scripts/engines.py onnxruntime,openvino
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(names: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted: dict[str, None] = {}
    for name in filter(None, names.replace(" ", ",").split(",")):
        if name not in extras:
            sys.exit(f"ENGINES={names}: there is no {name} to install: choose of {', '.join(extras)}")
        wanted |= dict.fromkeys(extras[name])
    print(*wanted)


if __name__ == "__main__":
    main(sys.argv[1])
