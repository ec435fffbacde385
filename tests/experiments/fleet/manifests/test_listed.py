"""Lists of services in YAML."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.fleet.manifests import read_services, write_services
from tests.experiments.fleet.manifests.services import EXAMPLE

ONE = yaml.safe_load(EXAMPLE.read_text())["services"][1]


def written(folder: Path, services: object) -> Path:
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump({"services": services}))
    return path


def test_the_example_is_two_services() -> None:
    bert, embeddings = read_services(EXAMPLE)
    assert (bert.name, bert.card, bert.sharing, bert.capacity_rps) == (
        "bert",
        "NVIDIA H200",
        "mps-in-pod",
        400.0,
    )
    assert (embeddings.card, embeddings.sharing, embeddings.percentile) == (None, "whole", 99.0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    write_services(path, read_services(EXAMPLE), "As the example.")
    assert path.read_text().startswith("# As the example.\n")
    assert read_services(path) == read_services(EXAMPLE)


@pytest.mark.parametrize(
    ("services", "told"),
    [
        ([], "no list `services`"),
        (["bert"], "service 1 is no mapping"),
        ([{**ONE, "wokers": 2}], "unknown key 'wokers'"),
        ([{key: value for key, value in ONE.items() if key != "workers"}], "has no workers"),
        ([{**ONE, "workers": "two"}], "workers is a whole number, not 'two'"),
        ([{**ONE, "workers": True}], "workers is a whole number, not True"),
        ([{**ONE, "vcpus": float("inf")}], "vcpus is a number"),
        ([{**ONE, "sharing": "mps"}], "sharing is one of whole"),
        ([ONE, ONE], "two services 'embeddings'"),
    ],
)
def test_mistakes_are_named(services: object, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        read_services(written(tmp_path, services))


def test_what_is_no_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("services: [\n")
    with pytest.raises(UsageError, match="is no YAML"):
        read_services(tmp_path / "a.yaml")
    with pytest.raises(UsageError, match="can't be read"):
        read_services(tmp_path / "none.yaml")


@given(
    entry=st.recursive(st.none() | st.booleans() | st.integers() | st.text("ab\n:"), st.lists, max_leaves=4)
)
def test_any_value_is_read_or_refused(entry: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("lists")
    for key in ("workers", "name", "card", "sharing"):
        told = ""
        try:
            read_services(written(folder, [{**ONE, key: entry}]))
        except UsageError as error:
            told = str(error)
        assert "\n" not in told
