"""An archive from a stranger, before any of its code is run: nothing leaves the folder, nothing fills it up.

What its handler does when it is served is its own; docs/threats.md.
"""

import json
import shutil
import stat
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from experiments.base.errors import UsageError
from experiments.bench.archive import archive_handler, provenance_of
from experiments.serving.torchserve import archives
from experiments.serving.torchserve.archives import unpack, unpacked_bytes, unpacked_into

MANIFEST = json.dumps({"model": {"modelName": "evil", "handler": "service.py"}})


def a_mar(path: Path, **files: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as mar:
        for name, content in ({"MAR-INF/MANIFEST.json": MANIFEST} | files).items():
            mar.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil", "../../evil", "/tmp/of-a-stranger/evil", "a/../../../evil"])
def test_nothing_is_written_beside_the_folder(tmp_path: Path, name: str) -> None:
    archive = a_mar(tmp_path / "evil.mar", **{name: "evil"})
    inside = tmp_path / "a" / "b" / "unpacked"
    inside.parent.mkdir(parents=True)
    unpack(archive, inside)
    assert [each for each in tmp_path.rglob("evil") if not each.is_relative_to(inside)] == []
    assert not Path("/tmp/of-a-stranger").exists()


def test_a_link_is_unpacked_as_a_file_that_holds_its_target(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("weights")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive = a_mar(tmp_path / "evil.mar")
    with zipfile.ZipFile(archive, "a") as mar:
        mar.writestr(link, "/etc/passwd")
    unpacked = tmp_path / "a store that is still to come" / "unpacked"
    unpack(archive, unpacked)
    assert not (unpacked / "weights").is_symlink()
    assert (unpacked / "weights").read_text() == "/etc/passwd"


@pytest.mark.thorough
def test_a_bomb_that_would_fill_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = a_mar(tmp_path / "bomb.mar", zeros=bytes(64 * 2**20))
    assert archive.stat().st_size < 2**20 < 64 * 2**20 <= unpacked_bytes(archive)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage(2**30, 2**30, 2**20))
    with pytest.raises(UsageError, match=r"takes 64 MiB unpacked, .* has 1 MiB free"):
        unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


@pytest.mark.parametrize("name", ["model-config.yaml", "provenance.json", "parity.json"])
def test_a_note_of_gigabytes_is_not_read(tmp_path: Path, name: str) -> None:
    archive = a_mar(tmp_path / "bomb.mar", **{name: b" " * (8 * 2**20)})
    with pytest.raises(UsageError, match="8 MiB, more than 1"):
        provenance_of(archive)


@pytest.mark.parametrize(
    "config", ["a: [", "!!python/object/apply:os.system [touch pwned]", "- 1", "[" * 50_000, "handler: 3"]
)
def test_settings_that_are_none_are_a_line(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = a_mar(tmp_path / "evil.mar", **{"model-config.yaml": config})
    with pytest.raises(UsageError, match=r"evil\.mar") as caught:
        archive_handler(archive)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("told", ["[" * 100_000, "NaN", '{"kind": "text", "engines": 3}', "\x00"])
def test_a_provenance_that_is_none_is_a_line_or_unknown(tmp_path: Path, told: str) -> None:
    archive = a_mar(tmp_path / "evil.mar", **{"provenance.json": told})
    try:
        found = provenance_of(archive)
    except UsageError as error:
        said = str(error)
    else:
        said = ""
        assert found.kind == "unknown"
    assert "\n" not in said


@pytest.mark.parametrize("config", ["../../secret.yaml", "/etc/hostname"])
def test_a_manifest_that_points_out_of_its_archive_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "secret.yaml").write_text("minWorkers: 1")
    manifest = json.dumps({"model": {"modelName": "evil", "configFile": config}})
    archive = a_mar(tmp_path / "evil.mar", **{"MAR-INF/MANIFEST.json": manifest})
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(UsageError, match="leads out of it"):
        unpacked_into(archive, store)


def test_what_is_encrypted_or_cut_off_is_a_line(tmp_path: Path) -> None:
    archive = a_mar(tmp_path / "evil.mar", weights=b"w" * 1000)
    content = archive.read_bytes()
    at = content.index(b"PK\x01\x02")
    (tmp_path / "encrypted.mar").write_bytes(_encrypted(content))
    (tmp_path / "cut.mar").write_bytes(content[: at // 2])
    for name in ("encrypted", "cut"):
        with pytest.raises(UsageError, match="not a model archive"):
            unpack(tmp_path / f"{name}.mar", tmp_path / name)
        shutil.rmtree(tmp_path / name, ignore_errors=True)


def _encrypted(content: bytes) -> bytes:
    """The same, its files marked as encrypted."""
    marked = bytearray(content)
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = marked.find(sign)
        while at >= 0:
            marked[at + offset] |= 1
            at = marked.find(sign, at + 4)
    return bytes(marked)
