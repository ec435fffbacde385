"""cards/NAME/ in a results folder: a card of a cluster, where it is and what it made of the plan's twin.

environment.json    the machine of the card
trials.jsonl        the twin of the plan's first configuration, measured on this card before anything else
requests/           as in the results folder
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.base.errors import ExperimentError
from experiments.base.files import write_json


def card_folders(folder: Path) -> list[Path]:
    """Those of all cards that a results folder knows; none where a single machine measured."""
    return sorted((folder / "cards").glob("*"))


def card_folder(folder: Path, card: str) -> Path:
    """Where a results folder keeps what belongs to a card."""
    return folder / "cards" / re.sub(r"[^\w.-]+", "-", card)


def create_card(folder: Path, card: str, environment: Mapping[str, Any]) -> None:
    """Makes the folder of a card where it is not there, and notes its environment as it is now."""
    its = card_folder(folder, card)
    try:
        (its / "requests").mkdir(parents=True, exist_ok=True)
        write_json(its / "environment.json", {**environment, "card": card})
    except OSError as error:
        raise ExperimentError(
            f"can't write results to {its}: {error.strerror}; make room or give another --out"
        ) from error
