"""A fleet told: tables and sentences for the terminal, and all of it as JSON."""

from experiments.fleet.shown.as_json import as_json
from experiments.fleet.shown.sentences import cheaper, copies_told, followed, room, sentence, told
from experiments.fleet.shown.tables import demand_table, nodes_table, scaling_table

__all__ = [
    "as_json",
    "cheaper",
    "copies_told",
    "demand_table",
    "followed",
    "nodes_table",
    "room",
    "scaling_table",
    "sentence",
    "told",
]
