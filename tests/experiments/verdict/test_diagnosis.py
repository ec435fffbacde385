"""What binds a cell, by example, and that every cell gets one answer; where the shares come from."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.results.counted import Counted
from experiments.results.telemetry import Telemetry
from experiments.verdict.diagnosis import Bound, Shares, diagnose, explain, shares_of
from experiments.watch.counters import TALLY, Snapshot, Tally, between, read_tallies

share = st.floats(0, 1)
known_or_not = st.none() | share
any_shares = st.builds(
    Shares,
    filled=share,
    outside=share,
    handling=share,
    forward=share,
    slowdown=st.none() | st.floats(0.1, 100),
    others_cpu=known_or_not,
    gpu=known_or_not,
    roofline=known_or_not,
)


def some_shares(**differently: float | None) -> Shares:
    """A cell as it should be: full batches, workers that calculate nearly all the time."""
    figures: dict[str, float | None] = {
        "filled": 0.99,
        "outside": 0.05,
        "handling": 0.97,
        "forward": 0.95,
        "slowdown": 1.05,
        "others_cpu": 0.02,
        "gpu": None,
        "roofline": 0.7,
    }
    return Shares(**(figures | differently))  # type: ignore[arg-type]


def some_counts(**differently: float | None) -> Counted:
    """A worker that takes 100 ms for a batch of eight, 90 of them in the forward pass, and never rests."""
    figures: dict[str, float | None] = {
        "requests": 800,
        "latency_ms": 200,
        "queue_ms": 95,
        "batch_rows": 8,
        "prepare_ms": 9,
        "forward_ms": 90,
        "handle_ms": 100,
        "handling": 0.98,
    }
    return Counted(**(figures | differently))  # type: ignore[arg-type]


def test_a_model_that_works_all_the_time_binds_itself() -> None:
    assert diagnose(some_shares()) is Bound.COMPUTE
    assert diagnose(some_shares(gpu=0.97)) is Bound.COMPUTE


def test_a_gpu_that_idles_under_busy_workers_waits_for_the_host() -> None:
    assert diagnose(some_shares(gpu=0.6)) is Bound.HOST


def test_kernels_too_small_for_the_device_are_the_hosts_time_too() -> None:
    """Some kernel runs all the time, and yet the device does a tenth of what it could."""
    assert diagnose(some_shares(gpu=0.98, roofline=0.1)) is Bound.HOST


def test_decoding_that_takes_longer_than_the_model() -> None:
    assert diagnose(some_shares(forward=0.4)) is Bound.PREPROCESSING


def test_workers_that_wait_with_full_batches_wait_for_torchserve() -> None:
    """A no-op model: every batch is full, and next to nothing happens in it."""
    assert diagnose(some_shares(handling=0.1, forward=0.5)) is Bound.FRONTEND


def test_too_few_requests_don_t_fill_the_batches() -> None:
    assert diagnose(some_shares(filled=0.25, handling=0.6)) is Bound.NOT_FILLED


def test_batches_that_stay_empty_because_the_frontend_can_t_bring_the_requests() -> None:
    assert diagnose(some_shares(filled=0.25, handling=0.6, outside=0.8)) is Bound.FRONTEND


def test_a_frontend_that_takes_the_cores_from_the_model() -> None:
    assert diagnose(some_shares(slowdown=1.6, others_cpu=0.4)) is Bound.FRONTEND
    assert diagnose(some_shares(slowdown=1.6, others_cpu=0.05)) is Bound.COMPUTE
    assert diagnose(some_shares(slowdown=1.0, others_cpu=0.4)) is Bound.COMPUTE


def test_what_is_not_known_is_held_against_nobody() -> None:
    unknown = some_shares(slowdown=None, others_cpu=None, gpu=None, roofline=None)
    assert diagnose(unknown) is Bound.COMPUTE


@given(any_shares)
def test_any_shares_have_exactly_one_diagnosis(shares: Shares) -> None:
    assert diagnose(shares) in Bound
    assert sum(shares.worker_time.values()) == pytest.approx(1)
    assert "full" in explain(shares)


@given(any_shares)
def test_full_batches_are_never_blamed(shares: Shares) -> None:
    assert diagnose(replace(shares, filled=1.0)) is not Bound.NOT_FILLED


def test_the_shares_are_told_in_a_line() -> None:
    assert explain(some_shares(gpu=0.5)) == (
        "batches 99% full; workers 92% in the forward pass, 5% around it, 3% waiting; "
        "requests 5% of their time outside of queue and workers; a batch takes 1.05 x the bare model's time; "
        "others use 2% of the cores; GPU busy 50%; bare model at 70% of the roofline"
    )


# Where the shares come from.


def test_counts_telemetry_and_ceilings_become_shares() -> None:
    telemetry = Telemetry(
        cpu_cores_used={"workers": 1.5, "frontend": 0.3, "load_generator": 0.1}, gpu_utilisation_percent=55
    )
    found = shares_of(
        some_counts(),
        workers=1,
        batch_size=10,
        client_latency_ms=250,
        cores=2,
        telemetry=telemetry,
        bare_batch_ms=80,
        bare_over_roofline=0.6,
    )
    assert found == Shares(
        filled=0.8,
        outside=pytest.approx(0.2),
        handling=0.98,
        forward=0.9,
        slowdown=1.125,
        others_cpu=pytest.approx(0.2),
        gpu=0.55,
        roofline=0.6,
    )


def test_clocks_that_don_t_agree_give_no_share_beyond_one() -> None:
    found = shares_of(some_counts(handling=1.02), workers=1, batch_size=8, client_latency_ms=198, cores=2)
    assert found is not None
    assert (found.handling, found.outside, found.filled) == (1, 0, 1)


def test_without_a_tally_there_are_no_shares() -> None:
    asked = {"workers": 1, "batch_size": 8, "client_latency_ms": 250.0, "cores": 2}
    assert shares_of(None, **asked) is None  # type: ignore[arg-type]
    assert shares_of(Counted(800, 200.0, 95.0), **asked) is None  # type: ignore[arg-type]


def test_a_frontend_whose_cpu_is_not_known_is_not_taken_for_idle() -> None:
    telemetry = Telemetry(cpu_cores_used={"frontend": None, "load_generator": 0.1})
    found = shares_of(
        some_counts(), workers=1, batch_size=8, client_latency_ms=250, cores=2, telemetry=telemetry
    )
    assert found is not None
    assert found.others_cpu is None


def keep(folder: Path, worker: int, tally: Tally) -> None:
    """A tally as a worker leaves it."""
    figures = (tally.batches, tally.rows, tally.prepare_ns, tally.forward_ns, tally.handle_ns)
    (folder / f"{worker}.tally").write_bytes(TALLY.pack(*figures))


def test_the_tallies_of_all_workers_are_summed(tmp_path: Path) -> None:
    assert read_tallies(tmp_path) is None
    keep(tmp_path, 11, Tally(10, 80, 1, 2, 3))
    keep(tmp_path, 12, Tally(5, 20, 4, 5, 6))
    (tmp_path / "13.tally").write_bytes(os.urandom(7))  # its worker has only just made it
    assert read_tallies(tmp_path) == Tally(15, 100, 5, 7, 9)


def test_two_snapshots_give_means() -> None:
    before = Snapshot(10.0, 100, 1_000_000, 400_000, Tally(10, 80, 0, 0, 0))
    after = Snapshot(12.0, 180, 9_000_000, 4_400_000, Tally(20, 160, 100_000_000, 900_000_000, 1_900_000_000))
    assert between(before, after) == Counted(
        requests=80,
        latency_ms=100,
        queue_ms=50,
        batch_rows=8,
        prepare_ms=10,
        forward_ms=90,
        handle_ms=190,
        handling=0.95,
    )


def test_no_request_or_no_tally_gives_no_means() -> None:
    idle = Snapshot(10.0, 100, 1_000_000, 400_000, None)
    assert between(idle, idle) is None
    busy = Snapshot(12.0, 180, 9_000_000, 4_400_000, None)
    assert between(idle, busy) == Counted(80, 100, 50)
    first = Snapshot(12.0, 180, 9_000_000, 4_400_000, Tally(10, 80, 0, 0, 2_000_000_000))
    found = between(idle, first)
    assert found is not None
    assert (found.batch_rows, found.handling) == (8, 1)
