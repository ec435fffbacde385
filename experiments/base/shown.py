"""What is shown to the user: on any console, in a spreadsheet, and ready to be pasted into a shell."""

import shlex
import sys
import unicodedata
from io import TextIOWrapper
from pathlib import Path

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet calculates: https://owasp.org/www-community/attacks/CSV_Injection."""
HIDDEN = "?"  # in place of a character that would command the terminal


def never_fail_to_print() -> None:
    """From here on a character that the console's encoding lacks is a question mark, and no error: an
    ISO-8859-1 or C locale must not end what has just been measured."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def command(*words: str | Path) -> str:
    """A command as it can be pasted into a shell, whatever its paths hold."""
    return shlex.join(str(word) for word in words)


def visible(text: str) -> str:
    """A text whose characters are all shown as such: what would move a terminal's cursor, set its title or
    turn the direction of writing is a question mark. Line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(HIDDEN if _commands(each) else each for each in text)


def _commands(character: str) -> bool:
    """Control characters, and those that turn the direction: U+202A to 202E and 2066 to 2069."""
    if unicodedata.category(character) == "Cc":
        return character not in "\n\t"
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def no_formula(value: object) -> object:
    """A text that a spreadsheet would calculate, behind an apostrophe; everything else as it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
