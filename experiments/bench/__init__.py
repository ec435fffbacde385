"""What is measured: an archive, the inputs it is fed, the card it runs on.

Nothing here starts anything; what is done with a bench lies in ceilings/ and measure/.
"""

from experiments.bench.bench import Bench, bench_for
from experiments.bench.inputs import pool_for

__all__ = ["Bench", "bench_for", "pool_for"]
