"""The workers of a real TorchServe follow a load, by the rule that the simulation has."""

from pathlib import Path

import pytest

from benchmarks.parts.scaling.sleeping import sleeping_archive
from experiments.fleet.scaling import Control, Curve, Fixed, OnRate, Thresholds, live
from experiments.load import Body
from experiments.serving.registration import Registration
from experiments.serving.torchserve.start import torchserve
from tests.support.scalings import service

pytestmark = [pytest.mark.integration, pytest.mark.wide]

BODY = [Body(b"x", "text/plain")]


def test_workers_come_with_the_rate_and_go_with_it(tmp_path: Path) -> None:
    """20 requests/s of 50 ms each are too many for one worker; 2 are few for three."""
    known = service(capacity_rps=12.0, loading_s=3.0, most_instances=3)
    control = Control(polling_s=1.0, window_s=2.0, stabilisation_s=2.0)
    rule = OnRate(Thresholds(12.0, 1.0, 4.0, 20.0, control, 2.0))
    curve = Curve("up and down", 10.0, (2.0, 20.0, 20.0, 2.0, 2.0))
    with torchserve(env={"OMP_NUM_THREADS": "1"}) as server:
        server.register(Registration(sleeping_archive(tmp_path, 50.0, 0.0), 1, 1, batch_delay_ms=1))
        found = live(server, rule, known, curve, BODY)
        assert found.outcome.most >= 2
        assert found.outcome.added >= 1
        assert found.outcome.removed >= 1
        assert len(found.loading_s) >= 1
        assert [worker.status for worker in server.workers()] == ["READY"] * len(server.workers())
        assert found.outcome.requests == len(curve.arrivals(0))

        fixed = live(server, Fixed(3), known, Curve("short", 3.0, (10.0,)), BODY)
        assert len(server.workers()) == 3
        assert (fixed.outcome.least, fixed.outcome.most, fixed.failures) == (3, 3, 0)
        assert fixed.outcome.instance_h == pytest.approx(3 * 3 / 3600)
