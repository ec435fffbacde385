"""Tracebacks in what a program printed, and which of them are ours to prevent."""

import re

from experiments.base.paths import ROOT

BEGIN = "Traceback (most recent call last)"
FRAME = re.compile(r'File "([^"]+)", line (\d+)(?:, in (\S+))?')
PYTHON_BEGINS = ("<no Python frame>", "<frozen importlib")  # and finds no memory or file
IMPORTS = "<module>"


def place_of_one(printed: str) -> str | None:
    """Where the last of them ends; None where there is none of ours to prevent. What runs out while Python
    begins, or imports what a program of ours needs, is told by Python: nothing of ours runs yet."""
    _, *tracebacks = printed.split(BEGIN)
    if not tracebacks or any(sign in printed for sign in PYTHON_BEGINS):
        return None
    frames = [FRAME.findall(each) for each in tracebacks]
    of_ours = [[what for path, _, what in each if _is_ours(path)] for each in frames]
    if any(of_ours) and all(each[-1] == IMPORTS for each in of_ours if each):
        return None
    path, line, _ = frames[-1][-1] if frames[-1] else ("nowhere", "", "")
    return f"{path}:{line}"


def _is_ours(path: str) -> bool:
    return path.startswith(f"{ROOT}/") and "/site-packages/" not in path
