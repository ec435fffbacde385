"""A YAML file from a stranger: a demand, a plan, prices, a list of services."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.base.errors import UsageError
from experiments.base.yaml_files import parsed_yaml, read_yaml
from experiments.fleet.demand import read_demands
from experiments.fleet.manifests.listed import read_services
from experiments.placement.demand import read_demand
from experiments.plan import settings_in
from experiments.together.reading import read as read_together

A_BILLION_LAUGHS = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
)
HOSTILE = {
    "a billion laughs": A_BILLION_LAUGHS,
    "itself": "models: &a [*a]",
    "deep": "[" * 20_000,
    "code": "models: !!python/object/apply:os.system ['touch pwned']",
    "code by name": "!!python/name:os.system",
    "no such day": "models: 2026-99-99",
    "a long number": "models: " + "9" * 5000,
    "bytes": "models: !!binary x",
    "controls": "models: \x07",
}
READERS = {
    "demand of a placement": read_demand,
    "demand of a fleet": read_demands,
    "services": read_services,
    "plan": settings_in,
    "plan of several models": read_together,
}


@pytest.mark.thorough
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_in_a_line_and_nothing_of_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reader: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.yaml"
    path.write_text(HOSTILE[name])
    with pytest.raises(UsageError) as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "pwned").exists()


def test_anchors_and_merges_that_people_write_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "fine.yaml"
    path.write_text(
        "base: &base {slo_ms: 100}\nmodels:\n- <<: *base\n  model: bert\n- <<: *base\n  model: x\n"
    )
    assert read_yaml(path, "a demand")["models"][1] == {"slo_ms": 100, "model": "x"}


@given(st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=30))
def test_what_is_no_bomb_is_read_as_it_is(content: object) -> None:
    import yaml

    text = yaml.safe_dump(content)
    assert parsed_yaml(text, Path("some.yaml")) == yaml.safe_load(text)
