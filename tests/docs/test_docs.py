"""The documents name what exists: links, anchors, modules, options, make targets, files."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from experiments.base.paths import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
PAGES = [*TEXTS, ROOT / "CHANGELOG.md"]
LONGEST_README = 119

# Commands whose options are checked, and the modules that hold their `app`.
COMMANDS = {
    "mps.run": "mps.run",
    "mps.report": "mps.report",
    "mps.series": "mps.series",
    "mps.doctor": "mps.doctor",
    "mps.fleet": "mps.fleet",
    "mps.manifests": "mps.manifests",
    "experiments.load": "experiments.load.__main__",
}
# Where every option of a command is explained.
OPTION_TABLES = {
    "mps.run": ROOT / "docs" / "choosing-workers-and-batch-size.md",
    "experiments.load": ROOT / "docs" / "load-generator.md",
    "mps.manifests": ROOT / "docs" / "deploying.md",
}
KNOWN_FOLDERS = "plans|results/published|handlers|docs|benchmarks|scripts|experiments|mps"

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
MODULE = re.compile(r"\bpython3? -m ([\w.]+)(.*)")
IMPORT = re.compile(r"^from ([a-z][\w.]*) import ([\w, ]+)$", re.MULTILINE)
SWEEP_BY_MAKE = re.compile(r"\bmake run\b.*ARGS='([^']*)'")
TARGETS = re.compile(r"^ *make ([a-z][a-z -]*)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][\w-]*")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
PATH = re.compile(rf"(?:{KNOWN_FOLDERS})/[\w./-]*")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
every_text = pytest.mark.parametrize("page", TEXTS, ids=name_of)


@every_page
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@every_page
def test_modules_exist(page: Path) -> None:
    assert [module for module, _ in commands_in(page) if not can_be_run(module)] == []


@every_text
def test_commands_have_these_options(page: Path) -> None:
    given = [
        (module, option)
        for module, rest in commands_in(page)
        if module in COMMANDS
        for option in OPTION.findall(QUOTED.sub("", rest))
    ]
    assert [(module, option) for module, option in given if option not in options_of(module)] == []


@every_text
def test_what_python_code_imports_is_there(page: Path) -> None:
    for line in IMPORT.finditer("".join(code_blocks(page))):
        module = import_module(line[1])
        assert [name for name in line[2].split(", ") if not hasattr(module, name)] == [], line[0]


@every_text
def test_make_has_these_targets(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = "\n".join([*code_blocks(page), *inline_code(page)])
    named = {target for words in TARGETS.findall(lines) for target in words.split()[:1]}
    assert named - known == set()


@every_text
def test_files_in_backticks_exist(page: Path) -> None:
    paths = [code for code in inline_code(page) if PATH.fullmatch(code)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("module", OPTION_TABLES)
def test_every_option_is_explained(module: str) -> None:
    rows = [line for line in OPTION_TABLES[module].read_text().splitlines() if line.startswith("| `--")]
    explained = {option for row in rows for code in CODE.findall(row) for option in OPTION.findall(code)}
    assert options_of(module) - {"--help"} - explained == set()


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert name_of(page) in LINK.findall((ROOT / "README.md").read_text())


class TestTheChecksThemselves:
    def test_anchors_follow_the_rule_of_github(self) -> None:
        text = (
            "# What `--until-sure` saves\n## An example\n## An example\n"
            "```\n# no heading\n```\n### With [a](b), c: d_e\n"
        )
        assert anchors_in(text) == {
            "what---until-sure-saves",
            "an-example",
            "an-example-1",
            "with-a-c-d_e",
        }

    def test_broken_links_are_found(self, tmp_path: Path) -> None:
        (tmp_path / "other.md").write_text("# Here\n")
        page = tmp_path / "page.md"
        page.write_text(
            "[a](other.md#here) [b](other.md#there) [c](none.md) [d](#here) [e](https://x.example)\n"
            "`[f](g)`\n```\n[h](i)\n```\n"
        )
        assert list(broken_links(page)) == ["other.md#there", "none.md", "#here"]

    def test_commands_are_read_over_line_ends_and_before_comments(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text(
            "```\npython -m mps.run --runs 1 \\\n  --none 2  # --later\nmake run ARGS='--model bert'\n```\n"
            "In words, `python -m benchmarks.until_sure` is one too, python -m nothing.here is none.\n"
        )
        assert [(module, OPTION.findall(rest)) for module, rest in commands_in(page)] == [
            ("mps.run", ["--runs", "--none"]),
            ("mps.run", ["--model"]),
            ("benchmarks.until_sure", []),
        ]

    def test_modules_that_do_not_exist_or_cannot_be_run_are_found(self) -> None:
        assert can_be_run("benchmarks.until_sure")
        assert can_be_run("experiments.load")
        assert not can_be_run("benchmarks.none")
        assert not can_be_run("nothing.here")
        assert not can_be_run("experiments.base")


def broken_links(page: Path) -> Iterator[str]:
    """The relative links of a page that lead to no file, or to no heading of it."""
    for link in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text("utf-8")))):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_in(target.read_text())):
            yield link


def anchors_in(text: str) -> set[str]:
    """GitHub's names of a page's headings: small letters, no punctuation, hyphens; repeated ones numbered."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        repeated = (f"{anchor}-{number}" for number in range(1, len(text)))
        found.add(anchor if anchor not in found else next(each for each in repeated if each not in found))
    return found


def code_blocks(page: Path) -> list[str]:
    """The content of fenced blocks, lines joined that a backslash divides, without comments."""
    blocks = ["\n".join(block.splitlines()[1:-1]) for block in FENCE.findall(page.read_text("utf-8"))]
    return [re.sub(r"\s#.*", "", re.sub(r"\\\n\s*", " ", block)) for block in blocks]


def inline_code(page: Path) -> list[str]:
    return CODE.findall(FENCE.sub("", page.read_text("utf-8")))


def commands_in(page: Path) -> Iterator[tuple[str, str]]:
    """Modules that a page says to run, each with the rest of its line."""
    for code in (*code_blocks(page), *inline_code(page)):
        for line in code.splitlines():
            yield from MODULE.findall(line)
            yield from (("mps.run", options) for options in SWEEP_BY_MAKE.findall(line))


@cache
def can_be_run(module: str) -> bool:
    """Whether `python -m module` finds something to run."""
    try:
        found = find_spec(module)
        is_package = found is not None and found.submodule_search_locations is not None
        return find_spec(f"{module}.__main__") is not None if is_package else found is not None
    except ModuleNotFoundError:
        return False


@cache
def options_of(module: str) -> set[str]:
    command = typer.main.get_command(import_module(COMMANDS[module]).app)
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return {"--help", *(option for option in options if option.startswith("-"))}
