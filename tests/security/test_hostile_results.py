"""A results folder from a stranger: it is read or refused in a line, and nothing outside it is touched."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from experiments.base import files
from experiments.base.errors import ExperimentError, UsageError
from experiments.plan import Plan
from experiments.report import show, write_comparison, write_report
from experiments.results import read
from experiments.results.folder import without_formulas
from experiments.verdict import judge
from mps.report import app
from tests.support.report_folders import ENVIRONMENT, a_folder

SMALL = Plan(workers=(1,), batch_size=(1, 4), runs=3)
TAG = "<img src=x onerror=alert(1)>"
CLOSING = '"><script>alert(1)</script>'
MATHS = r"$\undefined{$ and ${\bf"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder that is fine so far."""
    return a_folder(tmp_path / "hostile", SMALL)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A file that belongs to the reader."""
    path = tmp_path / "mine" / "bashrc"
    path.parent.mkdir()
    path.write_text("untouched")
    return path


def told(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


@pytest.mark.parametrize(
    "name",
    [
        "report.html.new",
        "report.md",
        "summary.csv",
        "summary.csv.new",
        "trials.jsonl",
        "figures/throughput.png",
        "advice/start.sh",
        "requests/0001.new",
        "cards/one/trials.jsonl",
    ],
)
def test_a_link_in_the_place_of_a_file_is_refused_before_it_is_followed(
    hostile: Path, mine: Path, name: str
) -> None:
    (hostile / name).parent.mkdir(parents=True, exist_ok=True)
    (hostile / name).unlink(missing_ok=True)
    (hostile / name).symlink_to(mine)
    code, output = told(str(hostile))
    assert (code, output.count("\n")) == (2, 1)
    assert f"{hostile / name} is a link that leads out of" in output
    assert mine.read_text("utf-8") == "untouched"


@pytest.mark.parametrize("name", ["figures", "advice", "requests", "cards"])
def test_a_link_in_the_place_of_a_folder_is_refused(hostile: Path, mine: Path, name: str) -> None:
    picture = mine.parent / "holiday.png"  # pictures that a report does not know are removed from figures/
    picture.write_text("untouched")
    shutil.rmtree(hostile / name, ignore_errors=True)
    (hostile / name).symlink_to(mine.parent)
    with pytest.raises(UsageError, match="leads out of"):
        write_report(hostile)
    assert {each.name for each in mine.parent.iterdir()} == {"bashrc", "holiday.png"}


@pytest.mark.thorough
def test_links_that_stay_inside_and_a_folder_that_is_a_link_itself_are_followed(
    hostile: Path, tmp_path: Path
) -> None:
    (hostile / "requests").rename(hostile / "elsewhere")
    (hostile / "requests").symlink_to("elsewhere")
    (tmp_path / "link").symlink_to(hostile)
    assert write_report(tmp_path / "link").is_file()


def test_a_pipe_that_nobody_feeds_does_not_hold_the_reader_up(hostile: Path) -> None:
    (hostile / "ceilings.json").unlink(missing_ok=True)
    os.mkfifo(hostile / "ceilings.json")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        read(hostile)


@pytest.mark.parametrize("name", ["plan.json", "environment.json", "ceilings.json"])
def test_a_file_that_is_larger_than_any_of_ours_is_not_read(
    hostile: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (hostile / name).open("ab") as file:
        file.truncate(files.MOST_BYTES + 1)  # sparse: it takes no room
    if name == "plan.json":
        with pytest.raises(ExperimentError, match=r"plan\.json is larger than 64 MiB"):
            read(hostile)
    else:
        assert any(f"{name} is larger than 64 MiB" in note for note in read(hostile).notes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"workers": NaN}', "NaN is no number"),
        ('{"workers": Infinity}', "Infinity is no number"),
        ("9" * 5000, "4300"),
        ('{"workers": [1], "workers": [2]}', "given twice"),
    ],
)
def test_json_that_is_deep_or_none_is_a_line(hostile: Path, text: str, why: str) -> None:
    (hostile / "plan.json").write_text(text)
    with pytest.raises(ExperimentError, match=why) as caught:
        read(hostile)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


class _Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    return parser.seen


def named(name: str) -> Callable[[Path], Path]:
    """A folder in which everything that may be called anything is called `name`."""
    environment = {
        **ENVIRONMENT,
        "command": name,
        "cpu": {"model": name, "cores": 2},
        "gpus": [{"name": name, "memory_bytes": 1, "driver": name, "uuid": name}],
        "java": name,
        "versions": {name: name, "torch": name},
        "variables": {name: name, "HANDLER_X": name},
        "git_commit": name,
        "archive": {"kind": "text", "architecture": name, "source": name, "note": name, "sha256": name},
    }

    def made(path: Path) -> Path:
        plan = Plan(model=f"{name}.mar", workers=(1,), batch_size=(1, 4), runs=3)
        folder = a_folder(
            path, plan, environment=environment, problems=lambda trial: [name] * (trial.run == 1)
        )
        lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
        for line in lines:
            line["flags"] = [name]
        (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return made


@pytest.mark.thorough
@pytest.mark.parametrize("name", [TAG, CLOSING, MATHS, "{{ 7 * 7 }}", "'><svg/onload=alert(1)>"])
def test_names_are_text_in_the_page_and_never_tags(tmp_path: Path, name: str) -> None:
    folder = named(name)(tmp_path / "hostile")
    page = show(judge(read(folder))).read_text("utf-8")
    found = tags(page)
    assert [tag for tag, _ in found if tag in ("script", "img", "iframe", "object", "embed", "base")] == [
        "script"
    ]
    assert [each for _, attributes in found for each in attributes if each.startswith("on")] == []
    assert "49" not in re.findall(r"<title>(.*?)</title>", page)[0]
    outside_of_code = (folder / "report.md").read_text("utf-8").split("```")[::2]
    assert not [text for text in outside_of_code if "<img" in text or "<script" in text]


@pytest.mark.thorough
def test_the_page_forbids_every_script_but_its_own_and_loads_nothing(tmp_path: Path) -> None:
    page = write_report(a_folder(tmp_path / "run", SMALL)).read_text("utf-8")
    (policy,) = [
        attributes["content"]
        for tag, attributes in tags(page)
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.thorough
def test_a_folder_whose_name_is_a_script_is_linked_as_a_folder(tmp_path: Path) -> None:
    first = a_folder(tmp_path / "javascript:alert(1)", SMALL)
    page = write_comparison([first, a_folder(tmp_path / "b?#%", SMALL)], tmp_path).read_text("utf-8")
    links = [str(attributes.get("href")) for tag, attributes in tags(page) if tag == "a"]
    assert "javascript%3Aalert%281%29/report.html" in links
    assert "b%3F%23%25/report.html" in links
    assert not [link for link in links if ":" in link]


@pytest.mark.thorough
def test_no_text_of_a_table_is_a_formula(tmp_path: Path) -> None:
    folder = named("=HYPERLINK(1)")(tmp_path / "hostile")
    show(judge(read(folder)))
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        fields = [field for row in csv.reader(file) for field in row]
    assert not [field for field in fields if field.startswith(("=", "@", "\t", "\r"))]
    assert [each for each in fields if each.startswith(("+", "-")) and not _is_number(each)] == []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_figures_stay_numbers_where_texts_get_their_apostrophe() -> None:
    import pandas as pd

    table = pd.DataFrame({"name": ["=1+1", "bert", None], "change": [-0.5, 1.0, 2.0], "n": [-1, 2, 3]})
    assert without_formulas(table).to_csv(index=False).splitlines() == [
        "name,change,n",
        "'=1+1,-0.5,-1",
        "bert,1.0,2",
        ",2.0,3",
    ]


class TestTheFilesToDeploy:
    """advice/ holds a script: what is in it comes from the folder's own files."""

    def started(self, folder: Path) -> str:
        """What start.sh does, with a `torchserve` that only tells how it was called."""
        program = folder.parent / "bin" / "torchserve"
        program.parent.mkdir()
        program.write_text('#!/bin/sh\necho "$@"\n')
        program.chmod(0o755)
        environment = {"PATH": f"{program.parent}:/usr/bin:/bin"}
        script = str(folder / "advice" / "start.sh")
        done = subprocess.run([script], env=environment, cwd=folder.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @pytest.mark.parametrize("model", ["x\ntouch pwned\n", "x\rtouch pwned", "x\x1b]0;y\x07"])
    def test_a_model_of_several_lines_is_refused(self, hostile: Path, model: str) -> None:
        changed(hostile / "plan.json", model=f"{model}.mar")
        with pytest.raises(ExperimentError, match="control character"):
            read(hostile)

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "variables",
        [
            {"HANDLER_X=1; touch pwned; Y": "1"},
            {"HANDLER_X$(touch pwned)": "1"},
            {"HANDLER_X": "1; touch pwned"},
            {"HANDLER_X": "$(touch pwned)\n'touch pwned"},
            {"LD_PRELOAD": "./evil.so"},
        ],
    )
    def test_variables_run_nothing(self, tmp_path: Path, variables: dict[str, str]) -> None:
        environment = {**ENVIRONMENT, "variables": variables}
        folder = a_folder(tmp_path / "hostile", SMALL, environment=environment)
        show(judge(read(folder)))
        assert "--start" in self.started(folder)
        assert not list(tmp_path.rglob("pwned"))
        assert "LD_PRELOAD" not in (folder / "advice" / "start.sh").read_text()

    @pytest.mark.thorough
    @pytest.mark.parametrize(
        "model", ["a; touch pwned", "$(touch pwned)", "`touch pwned`", "' touch pwned '"]
    )
    def test_a_models_name_runs_nothing(self, tmp_path: Path, model: str) -> None:
        plan = Plan(model=f"{model}.mar", workers=(1,), batch_size=(1, 4), runs=3)
        folder = a_folder(tmp_path / "hostile", plan)
        show(judge(read(folder)))
        assert "--start" in self.started(folder)
        assert not list(tmp_path.rglob("pwned"))


def test_what_a_terminal_would_obey_is_not_printed(hostile: Path) -> None:
    changed(hostile / "plan.json", model="\x1b]0;mine\x07\x1b[2J.mar")
    code, output = told(str(hostile))
    assert code == 1
    assert "\x1b" not in output
    assert "\x07" not in output


def changed(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")
