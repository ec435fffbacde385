"""Asks the noop model of a served folder; ends with 0 where it answers `ok`.

python -m tests.chaos.programs.asks DIR
"""

import re
import sys
from pathlib import Path

from tests.support.served_folder import predict

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = re.search(r"inference_address=\S+:(\d+)", (folder / "config.properties").read_text("utf-8"))
    assert found
    answer = predict(folder, {"inference": int(found[1])})
    sys.exit(0 if answer.text == "ok" else f"answered {answer.status_code}: {answer.text[:100]}")
