"""Where a result was measured: what is recorded is what is there, whatever else a program prints."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.watch import environment
from experiments.watch.environment import cpu_model, describe, differences


@pytest.mark.thorough
def test_java_is_told_by_its_version_and_not_by_what_it_picked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dwhat=ever")
    assert ' version "' in describe(["a", "test"], seed=0)["java"].splitlines()[0]


@pytest.mark.thorough
def test_the_cuda_that_torch_was_built_for_and_its_libraries_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two installs of one torch differ in these alone. No torch is imported, and nothing of it is asked."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "torch/version.py").write_text("__version__ = '2.13.0+cu130'\ncuda: str | None = '13.0'\n")
    for name, version in {
        "nvidia-cudnn-cu13": "9.20.0.48",
        "cuda-bindings": "13.5.0",
        "cudaless": "1",
    }.items():
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    told = describe([], seed=0)
    assert told["torch_cuda"] == "13.0"
    expected = {"nvidia-cudnn-cu13": "9.20.0.48", "cuda-bindings": "13.5.0"}
    assert told["cuda_packages"].items() >= expected.items()
    assert "cudaless" not in told["cuda_packages"]


@pytest.mark.thorough
def test_another_cuda_under_the_same_torch_is_a_difference() -> None:
    here = describe([], seed=0)
    assert differences({**here, "torch_cuda": "12.6"}, here) == [f"torch_cuda: 12.6 -> {here['torch_cuda']}"]
    from_before = {key: here[key] for key in here if key not in ("torch_cuda", "cuda_packages", "engines")}
    assert differences(from_before, here) == []


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AMD EPYC", "AMD EPYC (family 26, model 2)"),  # two generations of it are told apart
        ("AMD EPYC 7763 64-Core Processor", "AMD EPYC 7763 64-Core Processor"),
        ("", None),
    ],
)
def test_a_cpu_whose_name_has_no_number_is_told_with_its_family(
    tmp_path: Path, name: str, told: str | None
) -> None:
    one = f"processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: {name}\nflags\t\t: fpu vme\n"
    (tmp_path / "cpuinfo").write_text(f"{one}\n{one}\n")
    assert cpu_model(tmp_path / "cpuinfo") == told


@pytest.mark.parametrize("content", [None, "", "Processor\t: AArch64\n"])
def test_a_cpu_that_has_no_name_has_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    assert cpu_model(tmp_path / "cpuinfo") is None


def test_without_a_gpu_there_is_no_nvml_to_tell_of() -> None:
    told = describe([], seed=0)
    assert "nvml" in told
    assert (told["nvml"] is None) == (told["gpus"] == [])


@pytest.mark.thorough
def test_variables_that_hold_secrets_are_named_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"TS_KEYSTORE_PASS": "a", "TS_PRIVATE_KEY": "b", "TORCH_HUB_TOKEN": "c", "TS_SECRET": "d"}
    for name, value in {**secrets, "HANDLER_ENGINE": "torch", "AWS_SECRET_ACCESS_KEY": "e"}.items():
        monkeypatch.setenv(name, value)
    told = describe([], seed=0)["variables"]
    assert {name: told[name] for name in secrets} == dict.fromkeys(secrets, "(kept secret)")
    assert told["HANDLER_ENGINE"] == "torch"
    assert "AWS_SECRET_ACCESS_KEY" not in told


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, taken for this project's."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "file").write_text("as committed")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "a commit"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        subprocess.run(["git", "-C", str(folder), *who, *command], check=True)
    monkeypatch.setattr(environment, "ROOT", folder)
    return folder


def commit_told() -> tuple[str | None, bool | None]:
    told = describe([], seed=0)
    return told["git_commit"], told["git_dirty"]


@pytest.mark.thorough
def test_a_clone_tells_its_commit_and_whether_it_was_changed(clone: Path) -> None:
    commit, dirty = commit_told()
    assert (len(commit or ""), dirty) == (40, False)
    (clone / "file").write_text("changed")
    assert commit_told() == (commit, True)


@pytest.mark.thorough
def test_nothing_is_said_of_a_clone_that_git_will_not_look_into(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for "dubious ownership"
    assert commit_told() == (None, None)


@pytest.mark.thorough
def test_nothing_is_said_without_git(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_told() == (None, None)


@pytest.mark.thorough
def test_nothing_is_said_outside_of_a_repository(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    assert commit_told() == (None, None)


@pytest.mark.thorough
def test_nothing_is_said_of_a_repository_around_a_copy(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "copy").mkdir()
    monkeypatch.setattr(environment, "ROOT", clone / "copy")
    assert commit_told() == (None, None)


@pytest.mark.thorough
def test_nothing_is_said_of_a_repository_without_a_commit(clone: Path) -> None:
    shutil.rmtree(clone / ".git")
    subprocess.run(["git", "-C", str(clone), "init", "-q"], check=True)
    assert commit_told() == (None, None)
