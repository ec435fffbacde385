"""Templates filled in, strictly: a value that is not there is an error, and what is written can be read
again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """`template`, a path below templates/, with these values.

    Raises jinja2's UndefinedError for one that it lacks, and yaml's or json's error for a text that is none:
    both are this project's mistakes, not the user's.
    """
    text = _environment().get_template(template).render(**values)
    kind = template.removesuffix(".j2").rpartition(".")[2]
    if kind == "yaml":
        yaml.safe_load(text)
    elif kind == "json":
        json.loads(text)
    return text.rstrip("\n") + "\n"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML; names are refused that would need escapes (names.py)
        keep_trailing_newline=True,
    )
    environment.filters["tojson"] = _as_json
    return environment


def _as_json(value: Any) -> str:
    """As JSON, and so as YAML too; jinja2's own also escapes what HTML would take for its own."""
    return json.dumps(
        list(value) if isinstance(value, Iterable) and not isinstance(value, (str, dict)) else value
    )
