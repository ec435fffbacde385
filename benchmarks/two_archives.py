"""`python -m benchmarks.two_archives BEFORE.mar AFTER.mar`: did serving the same model get slower?

For two archives of one checkpoint, packed by two versions of this project: both under TorchServe in turns,
with texts of 15 tokens or photographs of 500 x 375. Tells requests/s and the ratio after over before.
"""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks.parts.interleaved import Effort, compare
from benchmarks.parts.models import photographs, texts
from benchmarks.parts.served import Setup, host, settle, throughput_rps
from experiments.base.cores import usable_cores
from experiments.bench.archive import provenance_of
from experiments.bench.inputs import TEXT_KINDS

TOKENS = 15
PHOTOGRAPH = (500, 375)
BATCH_SIZE = 8


def main() -> None:
    """Measure both in turns, and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_archives", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    pool = (
        texts(asked.after, TOKENS)
        if provenance_of(asked.after).kind in TEXT_KINDS
        else photographs(*PHOTOGRAPH)
    )
    effort = Effort(rounds=asked.rounds)
    setups = [Setup(archive, usable_cores(), BATCH_SIZE) for archive in (asked.before, asked.after)]
    with host() as servers:
        for setup in setups:
            settle(servers.serve(setup), setup, pool, effort)
        before, after = (
            lambda setup=setup: throughput_rps(servers.serve(setup), setup, pool, effort) for setup in setups
        )
        found = compare(after, before, effort.rounds)
    Console().print(f"after against before, {setups[1]}: {found}", soft_wrap=True)


if __name__ == "__main__":
    main()
