"""`python -m mps.manifests`: what it prints, and its exit codes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mps.manifests import app
from tests.experiments.fleet.manifests.services import EXAMPLE

RUN = CliRunner()


@pytest.mark.parametrize("target", ["kubernetes", "ecs", "compose", "systemd"])
def test_it_names_each_file_that_it_writes(target: str, tmp_path: Path) -> None:
    done = RUN.invoke(app, [str(EXAMPLE), "--write", str(tmp_path), "--target", target])
    assert done.exit_code == 0, done.output
    told = [line.removeprefix("written: ") for line in done.output.splitlines()]
    assert sorted(told) == sorted(str(path) for path in tmp_path.rglob("*") if path.is_file())


def test_kubernetes_own_autoscaler_in_place_of_keda(tmp_path: Path) -> None:
    options = ["--write", str(tmp_path), "--target", "kubernetes", "--autoscaler", "hpa"]
    done = RUN.invoke(app, [str(EXAMPLE), *options])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "bert" / "horizontalpodautoscaler.yaml").exists()
    assert not list(tmp_path.rglob("scaledobject.yaml"))


def test_options_are_in_the_files(tmp_path: Path) -> None:
    options = [
        "--sharing",
        "mps-dra",
        "--namespace",
        "models",
        "--image",
        "here:5000/ts:2",
        "--scale-at",
        "0.5",
    ]
    done = RUN.invoke(app, [str(EXAMPLE), "--write", str(tmp_path), "--target", "kubernetes", *options])
    assert done.exit_code == 0, done.output
    deployment = (tmp_path / "bert" / "deployment.yaml").read_text()
    assert "namespace: models\n" in deployment
    assert "image: here:5000/ts:2-cuda\n" in deployment
    assert 'threshold: "400"' in (tmp_path / "bert" / "scaledobject.yaml").read_text()  # two instances a pod
    assert (tmp_path / "bert" / "resourceclaimtemplate.yaml").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--target", "compose", "--sharing", "mps-dra"], "claims (mps-dra) are Kubernetes' own"),
        (["--target", "kubernetes", "--namespace", "Models"], "namespace 'Models': give lower-case"),
        (["--target", "kubernetes", "--scale-at", "1.5"], "between 0 and 1"),
        (["--target", "kubernetes", "--sharing", "mig"], "no files are written for mig"),
    ],
)
def test_wrong_usage_is_a_line_and_exit_code_2(options: list[str], told: str, tmp_path: Path) -> None:
    done = RUN.invoke(app, [str(EXAMPLE), "--write", str(tmp_path / "files"), *options])
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "files").exists()


def test_a_folder_that_can_not_be_written_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "bert").write_text("in the way")
    done = RUN.invoke(app, [str(EXAMPLE), "--write", str(tmp_path), "--target", "kubernetes"])
    assert done.exit_code == 1
    assert "can't write" in done.output
