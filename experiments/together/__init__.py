"""Several models at once under one server, and the same under others, each with a rate and a bound.

Here: the plan of that, servers side by side of which one works at a time, a look at all models together, the
search for the highest factor of the rates that keeps every bound, and the files of it all. Not here: the
servers themselves (servers/), placing models on parts of a GPU (placement/).
"""

from experiments.together.campaign import carry_out
from experiments.together.folder import Folder
from experiments.together.plan import Served, Together
from experiments.together.reading import read
from experiments.together.shown import goodput_table, table

__all__ = ["Folder", "Served", "Together", "carry_out", "goodput_table", "read", "table"]
