"""Where a result was measured: what is recorded is what is there, whatever else a program prints."""

import pytest

from experiments.watch.environment import describe


def test_java_is_told_by_its_version_and_not_by_what_it_picked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dwhat=ever")
    assert ' version "' in describe(["a", "test"], seed=0)["java"].splitlines()[0]
