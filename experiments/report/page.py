"""A report's content -> report.html, report.md and the PNG files of its figures."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from experiments.base.errors import ExperimentError
from experiments.base.files import write_whole
from experiments.report import FIGURES, PAGE, SUMMARY, findings, sections
from experiments.report.drawing.canvas import Drawn, Inlined, theme
from experiments.report.drawing.palette import DARK, LIGHT, css
from experiments.report.sections import Section
from experiments.verdict.sentence import banners, besides, verdict_sentence
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import apart, change, counted, number, range_of, span

TEMPLATES = Path(__file__).resolve().parent / "templates"
ROWS_OF_SUMMARY = 12


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One of the numbers below the verdict."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A report. `note` stands below each PNG."""

    title: str
    eyebrow: str
    verdict: str
    besides: Sequence[str]
    banners: Sequence[str]
    key_figures: Sequence[KeyFigure]
    sections: Sequence[Section]
    note: str


def of_run(verdict: Verdict) -> Page:
    """The report of one run."""
    return Page(
        title=f"{verdict.model} on {verdict.hardware}",
        eyebrow=" · ".join(filter(None, [verdict.model, verdict.hardware, findings.date(verdict)])),
        verdict=verdict_sentence(verdict),
        besides=besides(verdict),
        banners=list(banners(verdict)),
        key_figures=_key_figures(verdict),
        sections=sections.of_run(verdict),
        note=findings.png_note(verdict),
    )


def write(page: Page, out: Path) -> Path:
    """Writes the page, its summary and its pictures into `out`; returns the page's path.

    Pictures of an earlier report that this one does not have are removed. Raises ExperimentError.
    """
    figures = drawn(page)
    try:
        (out / FIGURES).mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.picture.save(out / FIGURES / f"{name}.png")
        write_whole(out / PAGE, html(page, figures))
        write_whole(out / SUMMARY, markdown(page))
        for picture in (out / FIGURES).glob("*.png"):
            if picture.stem not in figures:
                picture.unlink()
    except OSError as error:
        raise ExperimentError(f"can't write the report to {out}: {error.strerror}; give --out") from error
    return out / PAGE


def drawn(page: Page) -> dict[str, Drawn]:
    """Its figures by their names."""
    with theme():
        return {
            figure.name: figure.drawn(page.note) for section in page.sections for figure in section.figures
        }


def html(page: Page, figures: Mapping[str, Inlined]) -> str:
    """The whole page in one piece. A browser runs no script in it but our own, and loads nothing: a name that
    found its way through the escaping does no harm."""
    script = (TEMPLATES / "sort.js").read_text("utf-8")
    return (
        _templates()
        .get_template("page.html")
        .render(
            page=page,
            figures=figures,
            light=css(LIGHT),
            dark=css(DARK),
            style=(TEMPLATES / "style.css").read_text("utf-8"),
            script=script,
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        )
    )


def markdown(page: Page) -> str:
    """The same in short, for a pull request."""
    template = _templates(_without_tags).get_template("summary.md")
    return template.render(page=page, figures=FIGURES, most=ROWS_OF_SUMMARY, code=_Code).strip() + "\n"


class _Code(str):
    """What stands in a block of code, which nothing in it ends."""

    __slots__ = ()


def _without_tags(value: object) -> object:
    """What Markdown would pass on as HTML, shown as it is written."""
    if isinstance(value, _Code):
        return value.replace("```", "` ` `")
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def _templates(finalize: Callable[[object], object] | None = None) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _key_figures(verdict: Verdict) -> list[KeyFigure]:
    valid = len({(each.trial.cell, each.trial.run) for each in verdict.trials if each.valid})
    cells = counted(len(verdict.plan.cells()), "cell")
    runs = KeyFigure("Valid runs", f"{valid}", f"of {len(verdict.planned)}", cells)
    floor = (
        [KeyFigure("Noise floor", apart(verdict.floor), note="a cell against itself")]
        if verdict.floor
        else []
    )
    return [*_of_best(verdict), *floor, runs]


def _of_best(verdict: Verdict) -> list[KeyFigure]:
    """What the advised configuration reaches, and what MPS does there."""
    if verdict.advice is None:
        return []
    best = verdict.advice.best
    median, unit = best.median, verdict.advice.unit
    reach = f"runs from {range_of(median.low, median.high)}" if median.runs > 1 else "one run: no range"
    figures = [KeyFigure("Best configuration", number(median.median), unit, reach)]
    measured = verdict.measured(best.cell)
    p50_ms, p99_ms = measured.known("latency_ms_p50"), measured.known("latency_ms_p99")
    if p50_ms is not None and p99_ms is not None:
        figures.append(KeyFigure("Its p99", number(p99_ms), "ms", f"p50 {number(p50_ms)} ms"))
    if pair := verdict.pair_at(best.cell):
        reach = span(change(pair.comparison.low), change(pair.comparison.high))
        figures.append(KeyFigure("MPS there", change(pair.comparison.ratio), note=reach))
    return figures
