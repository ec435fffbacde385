"""Files and folders in TMPDIR whose names tell which process they belong to, so that nobody has to note it.

A process that is killed with SIGKILL can't clean up. The next one of ours removes what the dead have left,
and no moment exists in which a file has no owner. Not here: what lies in them, and processes.
"""

from experiments.base.owned.folders import owned_folder, remove_those_of_the_dead
from experiments.base.owned.names import new_name, owner_in, start_ticks, those_of_the_dead

__all__ = [
    "new_name",
    "owned_folder",
    "owner_in",
    "remove_those_of_the_dead",
    "start_ticks",
    "those_of_the_dead",
]
