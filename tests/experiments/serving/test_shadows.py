"""Modules on PYTHONPATH that workers would take for those of an archive."""

import os
import zipfile
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.base.paths import ROOT
from experiments.serving.shadows import python_path_of_workers, refuse_shadowed


@pytest.fixture
def mar(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "bert.mar", "w") as archive:
        for name in ("bert.py", "handlers/__init__.py", "handlers/text/__init__.py", "MAR-INF/MANIFEST.json"):
            archive.writestr(name, "")
    return tmp_path / "bert.mar"


@pytest.mark.parametrize("theirs", ["handlers/__init__.py", "handlers.py", "bert.py", "bert/__init__.py"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_it_is_named_with_the_folder_to_take_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mar: Path, theirs: str, unpacked: bool
) -> None:
    module = tmp_path / "their project" / theirs
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setenv("PYTHONPATH", f"/not/there{os.pathsep}{tmp_path}/their project")
    if unpacked:
        zipfile.ZipFile(mar).extractall(tmp_path / "bert")
    with pytest.raises(UsageError) as refused:
        refuse_shadowed(tmp_path / "bert" if unpacked else mar)
    name = Path(theirs).parts[0].removesuffix(".py")
    assert f"{module}, on PYTHONPATH, would be taken for the {name} of bert" in str(refused.value)
    assert str(refused.value).endswith(f"take {tmp_path}/their project out of PYTHONPATH")


def test_what_takes_nothing_away_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mar: Path
) -> None:
    for name in ("mps", "experiments", "text"):  # none of an archive's
        (tmp_path / "theirs" / name).mkdir(parents=True)
        (tmp_path / "theirs" / name / "__init__.py").touch()
    (tmp_path / "theirs" / "handlers").mkdir()  # no package: the archive's is found after it
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "theirs"), "", str(ROOT)]))
    refuse_shadowed(mar)
    refuse_shadowed(tmp_path / "no archive")
    assert python_path_of_workers() == {"PYTHONPATH": str(tmp_path / "theirs")}
    monkeypatch.delenv("PYTHONPATH")
    refuse_shadowed(mar)
    assert python_path_of_workers() == {}
