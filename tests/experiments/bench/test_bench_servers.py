"""Which servers of a plan can serve an archive here, and the line about each that can't."""

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.bench import Bench
from experiments.bench import servers as bench_servers
from experiments.bench.servers import servable, servers_told
from experiments.load import Body
from experiments.plan import Plan
from handlers.archive.archives import Provenance
from mps.card import Gpu

TEXTS = [Body(b"a text", "text/plain; charset=utf-8")]
PLAN = Plan(workers=(1,), batch_size=(4,), server=("torchserve", "litserve"))


def a_bench(kind: str = "text", card: Gpu | None = None, pool: list[Body] | None = None) -> Bench:
    return Bench(Path("small.mar"), pool or TEXTS, card, provenance=Provenance(kind=kind))


@pytest.fixture(autouse=True)
def nothing_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server has an environment."""
    monkeypatch.setattr("experiments.servers.environments.FOLDER", tmp_path)


def test_torchserve_alone_is_asked_nothing() -> None:
    plan = replace(PLAN, server=("torchserve",))
    assert servable(plan, a_bench("unknown")) == (plan, [])


def test_one_that_is_not_installed_is_left_out_with_the_command_that_adds_it() -> None:
    plan, (line,) = servable(PLAN, a_bench())
    assert plan.server == ("torchserve",)
    assert line == ("without litserve: its environment is absent: run `python -m mps.servers add litserve`")


def test_where_it_is_the_only_one_that_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"mps\.servers add litserve"):
        servable(replace(PLAN, server=("litserve",)), a_bench())


@pytest.mark.parametrize(
    ("plan", "bench", "told"),
    [
        (PLAN, a_bench("unknown"), "small.mar is not built by make mar"),
        (PLAN, a_bench("embedding", pool=[Body(b"\xff", "text/plain")]), "--input of .txt files in UTF-8"),
        (PLAN, a_bench(pool=[Body(b'{"text": "a"}', "application/json")]), "--input of .txt files in UTF-8"),
        (PLAN, a_bench(pool=[Body(b"\xff", "text/plain")]), "--input of .txt files in UTF-8"),
        (PLAN, a_bench("image", pool=[Body(b"{}", "application/json")]), "--input of image files"),
    ],
)  # fmt: skip
def test_what_it_can_not_take_is_said(plan: Plan, bench: Bench, told: str) -> None:
    left, (line,) = servable(plan, bench)
    assert left.server == ("torchserve",)
    assert line.startswith("without litserve: ")
    assert told in line


def test_on_a_gpu_and_with_mps_torchserve_is_measured_alone() -> None:
    card = Gpu(0, "GPU-1", "NVIDIA H200", "580", 1, 132, (9, 0), False, 1980, 700.0, True, True)
    _, (line,) = servable(replace(PLAN, with_mps=True), a_bench(card=card))
    assert "litserve runs on CPUs here, and without MPS, and NVIDIA H200 is measured: --device cpu" in line


def test_the_environment_tells_versions_and_pins_of_the_others() -> None:
    told = servers_told(PLAN)
    assert list(told) == ["litserve"]
    assert told["litserve"]["package"].startswith("litserve ")
    assert len(told["litserve"]["pins_sha256"]) == 64
    assert bench_servers.servers_told(replace(PLAN, server=("torchserve",))) == {}
