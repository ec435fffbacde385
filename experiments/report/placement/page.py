"""A placement -> placement.html, by the sweep's page."""

from pathlib import Path

from experiments.base.errors import ExperimentError
from experiments.base.files import write_whole
from experiments.base.numbers import plain
from experiments.report.drawing.canvas import theme
from experiments.report.page import KeyFigure, Page, html
from experiments.report.placement import findings, sections
from experiments.report.placement.parts import used
from experiments.report.placement.placing import Placing, clipped
from experiments.verdict.words import counted, percent, shortened


def of_placement(placing: Placing) -> Page:
    """The page of a placement."""
    gpus = used(placing.problem, placing.placement)
    names = [clipped(workload.name, findings.NAME) for workload in placing.problem.workloads]
    where = placing.measured_on if placing.proven else "simulated, not measured"
    on = "the CPU" if placing.on_cpu else counted(len(placing.placement.gpus), "GPU")
    return Page(
        title=f"{shortened(names)} on {on}",
        eyebrow=" \u00b7 ".join([shortened(names), f"strategy {placing.strategy}", where]),
        verdict=findings.verdict(placing),
        besides=findings.besides(placing),
        banners=list(findings.banners(placing, gpus)),
        key_figures=_key_figures(placing),
        sections=sections.of_placement(placing, gpus),
        note="",
    )


def write(placing: Placing, path: Path) -> Path:
    """Writes the page; returns its path. Raises ExperimentError."""
    page = of_placement(placing)
    with theme():
        figures = {figure.name: figure.inlined() for section in page.sections for figure in section.figures}
    text = html(page, figures)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise ExperimentError(f"can't write {path}: {error.strerror}; give another --out") from error
    return path


def _key_figures(placing: Placing) -> list[KeyFigure]:
    workloads = placing.problem.workloads
    figures = [
        *_gpus(placing),
        KeyFigure(
            "Asked",
            plain(placing.asked_rps, 3),
            "requests/s",
            f"could be up to {plain(_capacity_rps(placing), 3)}",
        ),
        KeyFigure("Models", f"{len(workloads)}", "", _bounds(placing)),
    ]
    worst = min(placing.expected, key=lambda outcome: outcome.attainment)
    figures.append(
        KeyFigure("Within the bound, predicted", percent(worst.attainment), "", _of(worst.workload))
    )
    if placing.proven:
        worst = min(placing.proven.measured, key=lambda outcome: outcome.attainment)
        figures.append(
            KeyFigure("Within the bound, measured", percent(worst.attainment), "", _of(worst.workload))
        )
    return figures


def _gpus(placing: Placing) -> list[KeyFigure]:
    """None where there was no GPU."""
    if placing.on_cpu:
        return []
    count = len(placing.placement.gpus)
    return [KeyFigure("GPUs", f"{count}", f"of {placing.gpus:,}", f"lower bound {placing.at_least}")]


def _of(workload: str) -> str:
    return f"the least, of {clipped(workload, findings.NAME)}"


def _capacity_rps(placing: Placing) -> float:
    return sum(placing.placement.capacity_rps(index) for index in range(len(placing.problem.workloads)))


def _bounds(placing: Placing) -> str:
    bounds = sorted({workload.slo_ms for workload in placing.problem.workloads})
    if len(bounds) == 1:
        return f"bound {plain(bounds[0], 4)} ms"
    return f"bounds {plain(bounds[0], 4)} to {plain(bounds[-1], 4)} ms"
