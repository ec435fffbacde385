"""The page of a placement, placement.html: what was placed, what is to be expected, what was measured.

It looks as the sweep's page does, whose template, drawing and tables it uses. Not here: how a placement is
found, checked or simulated (experiments/placement).
"""

from pathlib import Path

from experiments.report.placement.placing import Placing

PAGE = "placement.html"

__all__ = ["PAGE", "Placing", "write_page"]


def write_page(out: Path, placing: Placing) -> Path:
    """Writes placement.html into `out`; returns its path.

    Places and simulates with the other strategies for it, which takes some seconds at most. Raises
    ExperimentError where it can't be written.
    """
    # Here and not above: seaborn takes two seconds to import.
    from experiments.report.placement.page import write

    return write(placing, out / PAGE)
