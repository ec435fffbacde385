"""A hostile archive behind a real TorchServe: what leads out of it is not followed when it is unpacked."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from experiments.serving.torchserve.running import TorchServe
from experiments.serving.torchserve.start import torchserve
from tests.support.small_archives import NOOP

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[TorchServe]:
    with torchserve() as running:
        yield running


def register(server: TorchServe, url: str) -> requests.Response:
    return server._manage("POST", "/models", {"url": url, "initial_workers": 1, "synchronous": "true"})


@pytest.mark.parametrize(
    "name", ["../evil", "../../../../../../../../tmp/of-a-stranger/evil", "/tmp/of-a-stranger/evil"]
)
def test_names_that_lead_out_of_an_archive_write_nothing_there(server: TorchServe, name: str) -> None:
    with zipfile.ZipFile(server.store / "evil.mar", "w") as mar:
        manifest = {
            "model": {"modelName": "evil", "handler": "service.py", "modelVersion": "1"},
            "runtime": "python",
        }
        mar.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
        mar.writestr("service.py", NOOP)
        mar.writestr(name, "evil")
    register(server, "evil.mar")  # an absolute name is taken for one in the archive, and loaded
    assert not Path("/tmp/of-a-stranger").exists()
    written = list(server.folder.rglob("evil"))
    assert [path for path in written if path.parent == server.folder or path.parent.name == "models"] == []
    server._manage("DELETE", "/models/evil")


@pytest.mark.parametrize(
    "way", ["{store}/../../../../../../../..{outside}", "{store}/%2e%2e/..{outside}", "{outside}"]
)
def test_the_servers_of_a_sweep_load_from_their_own_store_only(
    server: TorchServe, tmp_path: Path, way: str
) -> None:
    outside = tmp_path / "evil.mar"
    with zipfile.ZipFile(outside, "w") as mar:
        mar.writestr("MAR-INF/MANIFEST.json", "{}")
    url = "file://" + way.format(store=server.store, outside=outside)
    answer = register(server, url)
    assert answer.status_code >= 400
    assert "allowed" in answer.text or "Relative path" in answer.text


def test_their_folder_and_keys_are_the_users_own(server: TorchServe) -> None:
    assert server.folder.stat().st_mode & 0o777 == 0o700
    assert (server.folder / "key_file.json").stat().st_mode & 0o777 == 0o600
