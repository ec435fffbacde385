"""What is told while a campaign runs, where there is no terminal for a live line."""

from io import StringIO

from rich.console import Console

from experiments.report.progress import ConsoleProgress


def test_without_a_terminal_each_ceiling_is_a_line() -> None:
    told = StringIO()
    with ConsoleProgress(Console(file=told)) as progress:
        progress.ceiling("bare model, 2 x 1 threads, batch 8")
        progress.ceiling("empty handler, 2 workers, batch 8")
    assert told.getvalue().splitlines() == [
        "  ceilings: bare model, 2 x 1 threads, batch 8",
        "  ceilings: empty handler, 2 workers, batch 8",
    ]
