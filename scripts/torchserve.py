"""The `torchserve` command of this project's virtual environment.

TorchServe's own launcher demands --model-store or --ts-config even where a config.properties lies in the
folder, and needs a Java on PATH. This one adds both, for `torchserve --start` without further options,
and leaves every other use as it is. `make setup` installs it:  python scripts/torchserve.py --install
"""

import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """#!{python}
import sys
sys.path.append({scripts!r})
from torchserve import main
main()
"""


def install() -> None:
    """Writes the command beside the interpreter that runs this, in place of TorchServe's."""
    target = Path(sys.executable).parent / "torchserve"
    target.write_text(SCRIPT.format(python=sys.executable, scripts=str(ROOT / "scripts")))
    target.chmod(0o755)


def main() -> None:
    """Runs TorchServe's launcher with the arguments given, completed where they need it."""
    from ts.model_server import start

    arguments = sys.argv[1:]
    if "--start" in arguments:
        chosen = {"--ts-config", "--model-store"} & set(arguments) or "TS_CONFIG_FILE" in os.environ
        if not chosen and Path("config.properties").is_file():
            sys.argv += ["--ts-config", "config.properties"]
            _refuse_taken_ports(Path("config.properties"))
        os.environ["JAVA_HOME"] = str(_java_home())
    start()


def _refuse_taken_ports(config: Path) -> None:
    """Ends with one line where TorchServe would print a Java stack trace and exit code 0."""
    from ts.model_server import load_properties

    for key, value in load_properties(str(config)).items():
        if key in ("inference_address", "management_address", "metrics_address"):
            address = urlsplit(value)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address.hostname, address.port))
                except OSError as error:
                    sys.exit(
                        f"error: {key} {value} in {config}: {error.strerror}; stop what listens there "
                        f"(a running TorchServe: torchserve --stop) or give another port"
                    )


def _java_home() -> Path:
    sys.path.append(str(ROOT))
    from experiments.base.errors import ExperimentError
    from experiments.serving.java import find_java

    try:
        return find_java().resolve().parent.parent
    except ExperimentError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    install() if sys.argv[1:] == ["--install"] else main()
