"""Instances packed onto nodes, so that these cost the least: those of CPUs fill what nodes with cards leave.

A bin packing with bins of several kinds, solved over patterns: what one node may hold (Gilmore and Gomory,
1961). Patterns are listed where they are few, else made as the prices of the linear relaxation ask for them;
SciPy's HiGHS solves both.
"""

from experiments.fleet.packing.nodes import Item, Node, Packed, fits
from experiments.fleet.packing.pack import pack

__all__ = ["Item", "Node", "Packed", "fits", "pack"]
