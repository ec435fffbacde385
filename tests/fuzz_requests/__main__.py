"""Mutated requests against a real TorchServe with tiny models, both kinds in turn.

Ends with 1 where an answer is wrong:
`python -m tests.fuzz_requests --requests 100000 --seed 1`
"""

import argparse
import sys
import tempfile
from pathlib import Path

from experiments.serving.torchserve.start import torchserve
from tests.fuzz_requests.against import Found, Model, fuzz, served

MOST_SHOWN = 20


def main() -> int:
    """Run, print what was found, and give the exit code."""
    options = _options()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, torchserve() as server:
        for kind in options.kind or ("text", "image"):
            model = Model(kind, Path(name) / kind)
            with served(server, model, Path(name)):
                found = fuzz(server, model, options.requests // len(options.kind or "12"), options.seed)
            _show(kind, found)
            wrong += len(found.wrong)
    return 1 if wrong else 0


def _show(kind: str, found: Found) -> None:
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.statuses.items()))
    print(
        f"{kind}: {statuses}; {found.unjudged} damaged forms unjudged; {len(found.wrong)} wrong", flush=True
    )
    for line in found.wrong[:MOST_SHOWN]:
        print(f"  {line}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_requests", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="in all (100,000)")
    parser.add_argument("--seed", type=int, default=1, help="which requests are made (1)")
    parser.add_argument("--kind", choices=("text", "image"), action="append", help="this kind alone (both)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
