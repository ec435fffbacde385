"""What is printed shows a name, whatever it is; it never commands the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from experiments.base.shown import no_formula, visible
from mps.door import PlainConsole

CLEARS, TITLE, LINK = "\x1b[2J", "\x1b]0;mine\x07", "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\"
BACK, CSI, TURNED = "rm -rf\rls", "\x9b2J", "\u202egnp.exe"
HOSTILE = [CLEARS, TITLE, LINK, BACK, CSI, TURNED, "\x08\x08", "\x7f"]


def printed(thing: object) -> str:
    console = PlainConsole(file=io.StringIO(), force_terminal=False, markup=False, width=80)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_neither_as_a_line_nor_in_a_table_nor_as_its_title(name: str) -> None:
    table = Table(name, title=name)
    table.add_row(name)
    for thing in (name, Text(name), table):
        assert not set("\x1b\x07\x08\r\x7f\x9b\u202e") & set(printed(thing))


def test_markup_in_a_name_is_the_name() -> None:
    table = Table("model")
    table.add_row("[/nothing] [bold]x[/bold] [link=https://evil.example]y[/link]")
    assert "[/nothing] [bold]x[/bold] [link=https://evil.example]y[/link]" in printed(table)


def test_our_own_colours_stay() -> None:
    console = PlainConsole(file=io.StringIO(), force_terminal=True, color_system="standard", highlight=False)
    console.print("a \x1b[2J name", style="red")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "\x1b[31ma ?[2J name\x1b[0m\n"


@given(st.text())
def test_what_is_visible_has_as_many_characters_and_no_control(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert all(each in "\n\t" or not each < " " for each in shown)
    assert visible(shown) == shown


@given(st.text())
def test_no_text_is_a_formula(text: str) -> None:
    told = no_formula(text)
    assert isinstance(told, str)
    assert told.removeprefix("'") == text.removeprefix("'")
    assert not told.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_numbers_are_no_text() -> None:
    assert no_formula(-1.5) == -1.5
    assert no_formula(None) is None
