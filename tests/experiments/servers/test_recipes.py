"""What is started for each of the other servers, from the models that are asked for."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.servers import bentoml, litserve, triton
from experiments.servers.environments import Environment
from experiments.servers.known import SERVERS, servers
from experiments.servers.lives import Wanted
from experiments.serving.registration import Registration

SMALL = Registration(Path("small.mar"), workers=2, batch_size=8, batch_delay_ms=10, name="small")
LARGE = replace(SMALL, archive=Path("large.mar"), workers=1, name="large")
WANTED = Wanted([SMALL, LARGE], Path("/tmp/tsmps-12345678"), 8123)


def words(command: object) -> str:
    assert isinstance(command, list)
    return " ".join(map(str, command))


def test_a_model_of_triton_has_a_config_with_its_batches_workers_and_delay() -> None:
    config = triton.config(SMALL, Path('/tmp/a "folder"'))
    assert 'name: "small"' in config
    assert "max_batch_size: 8" in config
    assert "count: 2 kind: KIND_CPU" in config
    assert "max_queue_delay_microseconds: 10000" in config
    assert r'string_value: "/tmp/a \"folder\""' in config


def test_a_batch_of_triton_has_room_for_all_inputs_of_its_requests() -> None:
    config = triton.config(replace(SMALL, inputs=5), Path("/tmp/folder"), vectors=True)
    assert "max_batch_size: 40" in config
    assert 'key: "batch_size" value: { string_value: "8" }' in config
    assert 'output [ { name: "VECTOR" data_type: TYPE_FP32 dims: [ -1 ] } ]' in config


def test_litserve_loads_a_model_in_each_of_its_workers_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    recipe = litserve.recipe(Environment("litserve", tmp_path), WANTED)
    assert recipe.loads == 3
    assert recipe.end == signal.SIGINT


def test_the_sockets_of_litserve_must_fit_into_the_temporary_folder(tmp_path: Path) -> None:
    deep = replace(WANTED, folder=Path("/tmp") / ("x" * 80))
    with pytest.raises(UsageError, match="too long for the sockets of LitServe: set TMPDIR"):
        litserve.recipe(Environment("litserve", tmp_path), deep)


def test_bentoml_loads_all_models_in_all_its_workers(tmp_path: Path) -> None:
    recipe = bentoml.recipe(Environment("bentoml", tmp_path), WANTED)
    assert recipe.loads == 4
    assert "--host 127.0.0.1 --port 8123" in words(recipe.command)


def test_the_programs_are_told_of_each_model() -> None:
    assert WANTED.told(LARGE) == {
        "name": "large",
        "folder": "/tmp/tsmps-12345678/store/large",
        "workers": 1,
        "batch_size": 8,
        "batch_delay_ms": 10,
        "inputs": 1,
        "tells_vectors": False,
    }


def test_an_archive_of_make_mar_says_whether_it_tells_vectors(tmp_path: Path) -> None:
    wanted = Wanted([SMALL], tmp_path, 8123)
    wanted.store(SMALL).mkdir(parents=True)
    for kind in ("embedding", "text"):
        (wanted.store(SMALL) / "provenance.json").write_text(f'{{"kind": "{kind}"}}')
        assert wanted.told(SMALL)["tells_vectors"] == (kind == "embedding")


def test_servers_are_found_by_their_names() -> None:
    assert [server.name for server in servers(["litserve", "torchserve"])] == ["litserve", "torchserve"]
    assert all(server.name == name and server.delay for name, server in SERVERS.items())
    with pytest.raises(UsageError, match="no server nginx: choose among torchserve, triton"):
        servers(["triton", "nginx"])
