"""What a config.properties makes TorchServe do."""

from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.serving.configured import (
    archives_to_load,
    listeners,
    refuse_broken_archives,
    settings_of,
    url_of,
)


def places(**settings: str) -> dict[str, tuple[str, int]]:
    return {each.key: (each.host, each.port) for each in listeners(settings)}


def test_without_a_word_torchserve_listens_at_five_ports() -> None:
    assert places() == {
        "inference_address": ("127.0.0.1", 8080),
        "management_address": ("127.0.0.1", 8081),
        "metrics_address": ("127.0.0.1", 8082),
        "grpc_inference_port": ("127.0.0.1", 7070),
        "grpc_management_port": ("127.0.0.1", 7071),
    }


def test_addresses_of_all_kinds() -> None:
    found = places(
        inference_address="https://0.0.0.0",
        management_address="http://[::1]:9001/",
        metrics_address="unix:/tmp/metrics.sock",
        grpc_inference_address="10.0.0.1",
        grpc_inference_port="17070",
    )
    assert found["inference_address"] == ("0.0.0.0", 443)
    assert found["management_address"] == ("::1", 9001)
    assert "metrics_address" not in found
    assert found["grpc_inference_port"] == ("10.0.0.1", 17070)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:port", "http://127.0.0.1:70000", "8080", "127.0.0.1:8080", ""]
)
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(UsageError, match="inference_address"):
        places(inference_address=address)


def test_what_listens_everywhere_is_asked_on_this_machine() -> None:
    assert url_of({"inference_address": "http://0.0.0.0:80"}, "inference_address") == "http://127.0.0.1:80"
    assert url_of({"inference_address": "https://[::]"}, "inference_address") == "https://[::1]:443"
    assert url_of({}, "management_address") == "http://127.0.0.1:8081"


def test_the_file_and_where_it_says_so_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.properties"
    config.write_text("# a=comment\n inference_address = http://127.0.0.1:1\nvmargs=-Da=b -Dc=d\n", "utf-8")
    monkeypatch.setenv("TS_INFERENCE_ADDRESS", "http://127.0.0.1:2")
    monkeypatch.setenv("TS_GRPC_INFERENCE_PORT", "3")
    assert settings_of(config) == {"inference_address": "http://127.0.0.1:1", "vmargs": "-Da=b -Dc=d"}
    config.write_text("enable_envvars_config=true\n")
    assert places(**settings_of(config))["inference_address"] == ("127.0.0.1", 2)
    assert places(**settings_of(config))["grpc_inference_port"] == ("127.0.0.1", 3)
    assert settings_of(None) == {}
    with pytest.raises(UsageError, match=r"can't read .*: No such file"):
        settings_of(tmp_path / "none")


def test_the_archives_of_the_start(tmp_path: Path) -> None:
    for name in ("bert.mar", "resnet50.mar", ".hidden.mar", "README.md"):
        (tmp_path / name).write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip
    assert archives_to_load({"load_models": "all"}, None, tmp_path) == ["bert.mar", "resnet50.mar"]
    assert archives_to_load({"load_models": "x=bert.mar, resnet50.mar"}, None, tmp_path) == [
        "bert.mar",
        "resnet50.mar",
    ]
    assert archives_to_load({"load_models": "all"}, ["mine=bert.mar"], tmp_path) == ["bert.mar"]
    assert (
        archives_to_load({}, None, tmp_path)
        == archives_to_load({"load_models": "none"}, None, tmp_path)
        == []
    )
    refuse_broken_archives(["bert.mar", "https://example.com/a.mar"], tmp_path)
    (tmp_path / "half.mar").write_bytes(b"PK half of it")
    with pytest.raises(UsageError, match=r"half\.mar is damaged"):
        refuse_broken_archives(["bert.mar", "half.mar"], tmp_path)
    with pytest.raises(UsageError, match="no archive"):
        refuse_broken_archives(["berd.mar"], tmp_path)
