"""`python -m mps.doctor`: what this machine can do, a line each, with a remedy where something is missing.

A door: it runs the checks of experiments/checks and prints them.
"""

import dataclasses
import json
from typing import Annotated

import typer
from rich.text import Text

from experiments.checks.checks import FAIL, OK, WARN, Check, examine
from mps.door import to_stdout

STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}

HELP = """Say what this machine can do, and what to do about what it can't. Nothing is changed.

One line for each finding: ok; warn, where runs work with a loss; fail, where
`python -m mps.run --with-mps` can't run. Without --with-mps no GPU is needed.

Examples:

  python -m mps.doctor

  python -m mps.doctor --json | jq '.checks[] | select(.status != "ok")'

Exit codes: 0 `python -m mps.run --with-mps` can run; 1 it can't.
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def main(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """See HELP."""
    checks = examine()
    failures = [check for check in checks if check.status == FAIL]
    if as_json:
        report = {"can_run_with_mps": not failures, "checks": [dataclasses.asdict(check) for check in checks]}
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(checks, failures)
    raise typer.Exit(1 if failures else 0)


def _print(checks: list[Check], failures: list[Check]) -> None:
    console = to_stdout()
    width = max(len(check.name) for check in checks)
    for check in checks:
        remedy = f" -> {check.remedy}" if check.status != OK else ""
        mark = (f"{check.status:<6}", STYLES[check.status])
        console.print(Text.assemble(mark, f"{check.name:<{width}}  {check.found}", (remedy, "cyan")))
    if failures:
        verdict = f"python -m mps.run --with-mps can't run: {failures[0].name}: {failures[0].found}"
    else:
        verdict = "python -m mps.run --with-mps can run"
    console.print(Text(f"\n{verdict}", "bold"))


if __name__ == "__main__":
    app()
