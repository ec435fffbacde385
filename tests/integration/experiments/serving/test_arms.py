"""The arm with MPS, on NVIDIA's real control daemon and a stand-in card."""

from pathlib import Path

import pytest

from experiments.serving.arms import MpsOptions, arm
from mps.card import device, gpu
from mps.control import PIPE_VARIABLE, MpsError
from scripts.fetch_mps import FetchError, NvidiaPrograms, fetch
from tests import stand_ins
from tests.stand_ins import a_card
from tests.stand_ins import pynvml as stand_in_pynvml

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def programs() -> NvidiaPrograms:
    try:
        return fetch()
    except FetchError as error:
        pytest.skip(f"NOT TESTED against NVIDIA's control daemon, it can't be fetched: {error}")


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an idle H200."""
    monkeypatch.setattr(device, "pynvml", stand_in_pynvml)
    monkeypatch.setenv(stand_ins.VARIABLE, str(tmp_path / "card"))
    for variable in ("CUDA_VISIBLE_DEVICES", PIPE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    return a_card(tmp_path / "card")


def test_the_server_is_up_before_a_worker_is_and_else_the_log_says_why(
    card: Path, programs: NvidiaPrograms
) -> None:
    """Without a GPU it is not: what is seen here is that it was started, and how that fails."""
    options = MpsOptions(keep_compute_mode=True, control=programs.control)
    with (
        pytest.raises(MpsError, match=r"MPS server \(pid \d+\) ended by itself, with status 1") as caught,
        arm(True, gpu(), options, pytest.fail),
    ):
        pytest.fail("no worker can be served")
    assert "exited with status 1" in caught.value.details
