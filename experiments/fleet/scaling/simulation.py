"""A demand played through a fleet that follows it: who waits how long, and what it costs.

Requests come as Poisson at the curve's rates. Batches form and wait as in the simulation of placements, whose
queues these are. Queues are not bounded: TorchServe's `job_queue_size` is set that high here. An instance is
paid for from when it is asked for until it has answered its last request.
"""

from __future__ import annotations

import numpy as np

from experiments.base.errors import UsageError
from experiments.fleet.scaling.batches import Batches
from experiments.fleet.scaling.curves import Curve
from experiments.fleet.scaling.decisions import Decider, Metrics, Seen
from experiments.fleet.scaling.instances import Fleet, Life, Pods, Workers
from experiments.fleet.scaling.outcome import Outcome, outcome_of
from experiments.fleet.scaling.policies import Fixed, Policy
from experiments.fleet.service import Service


def simulate(
    curve: Curve, policy: Policy, service: Service, batches: Batches, *, seed: int = 0, shared: bool = False
) -> Outcome:
    """What comes of a policy. At the start there are as many instances as it wants for the first rate.

    Instances are Pods, or with `shared` the workers of one TorchServe. A Fixed fleet is as large as it says,
    the others keep to the service's least and most.

    Raises UsageError where the service may have no instance at all: requests would wait for one.
    """
    if not 1 <= service.least_instances <= service.most_instances:
        raise UsageError(
            f"{service.name}: {service.least_instances} to {service.most_instances} instances can't be "
            "simulated: give 1 or more as the least, and not less as the most"
        )
    arrived_s = curve.arrivals(seed)
    decider = Decider(policy.control, *limits(policy, service))
    kind = Workers if shared else Pods
    first = start(curve.rates_rps[0], policy, service, decider)
    fleet: Fleet = kind(batches, service.loading_s, first)
    metrics = Metrics(policy.control.window_s)
    begin, now_s = 0, 0.0
    while now_s < curve.lasts_s:
        now_s = min(now_s + policy.control.polling_s, curve.lasts_s)
        end = int(np.searchsorted(arrived_s, now_s))
        fleet.serve(np.arange(begin, end), arrived_s[begin:end], now_s)
        begin = end
        seen = _seen(now_s, end, fleet, metrics, batches.busy_cpu)
        fleet.resize(now_s, decider.decide(now_s, policy.wanted(seen), seen.current))
    answered_s = np.full(len(arrived_s), np.inf)
    fleet.finish(answered_s)
    return outcome_of(policy.name, service.bound_ms, arrived_s, answered_s, fleet.lives, curve.lasts_s)


def _seen(now_s: float, arrived: int, fleet: Fleet, metrics: Metrics, busy_cpu: float) -> Seen:
    served_s = sum(_served_s(life, now_s) for life in fleet.lives)
    rate_rps, busy = metrics.note(now_s, arrived, fleet.worked_s(now_s), served_s)
    return Seen(
        rate_rps,
        busy_cpu * min(1.0, busy),
        ready=sum(life.serves(now_s) for life in fleet.lives),
        current=sum(life.leaves_s == float("inf") for life in fleet.lives),
    )


def _served_s(life: Life, now_s: float) -> float:
    return max(0.0, min(now_s, life.gone_s) - life.ready_s)


def limits(policy: Policy, service: Service) -> tuple[int, int]:
    """The least and the most instances there may be."""
    if isinstance(policy, Fixed):
        return policy.instances, policy.instances
    return service.least_instances, service.most_instances


def start(rate_rps: float, policy: Policy, service: Service, decider: Decider) -> int:
    """The instances to begin with at a rate."""
    enough = min(decider.most, max(decider.least, int(np.ceil(rate_rps / service.capacity_rps))))
    return decider.decide(0.0, policy.wanted(Seen(rate_rps, None, enough, enough)), enough)
