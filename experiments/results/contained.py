"""A results folder that came from somebody else: it stays within itself, and within reason.

What is read and written later goes through the names in it. A link to `~/.bashrc` by the name of a file that
is about to be written, or a named pipe that nobody feeds, must be seen before.
"""

import os
import stat
from pathlib import Path

from experiments.base.errors import UsageError

MOST_TRIAL_BYTES = 512 * 2**20
"""Of trials.jsonl: 100,000 trials, of 5 kB each."""


def refuse_what_leads_out(folder: Path) -> None:
    """Raises UsageError for a link in `folder` that leads out of it, and for what is no file and no folder.

    The folder itself may be a link. What is not there is not refused.
    """
    root = os.path.realpath(folder)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(where, name)  # noqa: PTH118 - thousands of them, in a hurry
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                target = os.path.realpath(path)
                if target != root and not target.startswith(f"{root}{os.sep}"):
                    raise UsageError(f"{path} is a link that leads out of {folder}: remove it")
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UsageError(f"{path} is neither a file nor a folder: remove it")
