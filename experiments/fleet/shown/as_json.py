"""A fleet for machines."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from experiments.fleet.fleet import Fleet, Planned, Row, services
from experiments.fleet.placements import Copies
from experiments.fleet.sizing import per_million, per_month
from experiments.fleet.speedup import Speedup


def as_json(fleet: Fleet, placed: Sequence[Copies] = (), reached: Speedup | None = None) -> dict[str, Any]:
    """For machines: prices, every way of every demand, the services and the nodes."""
    return {
        "prices": {
            "currency": fleet.prices.currency,
            "region": fleet.prices.region,
            "date": fleet.prices.date,
        },
        "per_hour": fleet.per_hour,
        "per_month": per_month(fleet.per_hour),
        "at_least_per_hour": fleet.packed.at_least_per_hour,
        "apart_per_hour": fleet.apart_per_hour,
        "demands": [_demand(each) for each in fleet.planned],
        "services": [dataclasses.asdict(each) for each in services(fleet)],
        "nodes": [
            {"kind": node.kind.kind, "count": node.count, "holds": dict(node.holds)}
            for node in fleet.packed.nodes
        ],
        "placements": [dataclasses.asdict(each) for each in placed],
        "scaling": dataclasses.asdict(reached) if reached else None,
        "together": [dataclasses.asdict(each) for each in fleet.together],
    }


def _demand(planned: Planned) -> dict[str, Any]:
    demand = planned.demand
    return {
        "name": demand.name,
        "model": demand.model,
        "peak_rps": demand.peak_rps,
        "mean_rps": demand.mean_rps,
        "slo": str(demand.slo),
        "headroom": demand.headroom,
        "spare": demand.spare,
        "ways": [_way(row, planned) for row in planned.rows],
    }


def _way(row: Row, planned: Planned) -> dict[str, Any]:
    known: dict[str, Any] = {"way": row.way, "card": row.card, "chosen": False}
    if row.option is None or row.per_hour is None:
        return known | {"why_not": row.why}
    found = row.option
    return known | {
        "chosen": found is planned.chosen,
        "units": dataclasses.asdict(found.units),
        "at_least": found.at_least,
        "mean_units": found.mean_units,
        "per_hour": dataclasses.asdict(row.per_hour),
        "per_month": {key: per_month(value) for key, value in dataclasses.asdict(row.per_hour).items()},
        "per_million": {
            key: per_million(value, found.demand.mean_rps)
            for key, value in dataclasses.asdict(row.per_hour).items()
        },
        "nodes": dict(row.nodes or {}),
        "used": dict(row.used or {}),
        "workers": row.workers and dict(zip(("on_node", "room"), row.workers, strict=True)),
        "offer": dataclasses.asdict(found.offer),
        "note": found.note,
        "predicted": found.predicted,
    }
