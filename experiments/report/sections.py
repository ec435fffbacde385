"""The parts of a run's report in their order: figures, tables and what they say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.base.numbers import plain
from experiments.base.shown import command
from experiments.plan import Plan
from experiments.plan.servers import TORCHSERVE
from experiments.report import ADVICE, findings, predicted, side_by_side, table
from experiments.report.drawing.canvas import Figure
from experiments.report.figures import forest, latency, limits, published, resources, throughput
from experiments.report.table import Table
from experiments.verdict.published import Document
from experiments.verdict.sentence import what_mps_does
from experiments.verdict.side_by_side import compares
from experiments.verdict.verdict import Verdict
from experiments.verdict.words import GIB, counted
from experiments.watch.environment import differences


@dataclass(frozen=True, slots=True)
class Section:
    """`finding` is its first sentence, `captions` explain; `facts` are pairs of a name and a text, `command`
    is to be typed. `absent` says in a line what would fill it, where there is nothing to show. `heading`
    stands above it, by default its title, by which it is found. `folded` tables are opened on
    demand."""

    ident: str
    title: str
    finding: str = ""
    figures: Sequence[Figure] = ()
    captions: Sequence[str] = ()
    tables: Sequence[Table] = ()
    facts: Sequence[tuple[str, str]] = ()
    command: str = ""
    absent: str = ""
    heading: str = ""
    folded: bool = False

    @property
    def layout(self) -> str:
        """Where the words stand: beside what is shown, or above it where that needs the page's width."""
        panels = [len(figure.panels) for figure in self.figures]
        if (self.tables and not self.figures) or any(count == 3 or count > 4 for count in panels):
            return "wide"
        return "pair" if len(panels) == 2 and max(panels) == 1 else ""


def of_run(verdict: Verdict) -> list[Section]:
    """All sections of one run's report. What is not in it, and why, is the last but two of them."""
    of_valid = (
        throughput_section,
        *([side_by_side_section] if compares(verdict) else []),
        mps_section,
        latency_section,
        resources_section,
        ceilings_section,
        predicted_section,
        published_section,
        table_section,
    )
    made = [make(verdict) for make in of_valid] if verdict.grid else []
    made += [invalid_section(verdict)] if verdict.trials else []
    shown = [section for section in made if not section.absent]
    if absent := [(section.title, section.absent) for section in made if section.absent]:
        shown.append(Section("absent", "Not in this report", facts=absent))
    return [*shown, environment_section(verdict), reproduce_section(verdict)]


def throughput_section(verdict: Verdict) -> Section:
    drawn = throughput.figure(verdict)
    return Section(
        "throughput",
        "Throughput",
        findings.throughput(verdict),
        [drawn] if drawn else [],
        [findings.ranges(verdict)],
    )


def side_by_side_section(verdict: Verdict) -> Section:
    return Section(
        "stacks",
        "Side by side",
        side_by_side.finding(verdict),
        captions=side_by_side.captions(verdict),
        tables=side_by_side.tables(verdict),
        heading="Servers and engines side by side",
    )


def mps_section(verdict: Verdict) -> Section:
    title = "With and without MPS"
    drawn = forest.figure(verdict)
    if drawn is None:
        arms = (
            "no cell has valid runs in both arms"
            if verdict.plan.with_mps
            else "--with-mps measures both arms"
        )
        return Section("mps", title, absent=f"Not compared: {arms}.")
    band = " The grey band shows it." if verdict.floor else ""
    captions = [
        "A mark is the ratio by all pairs of runs (Hodges and Lehmann), its bar the exact interval, free of "
        "assumptions about the noise.",
        findings.noise(verdict) + band,
    ]
    return Section("mps", title, what_mps_does(verdict), [drawn], captions, [table.of_pairs(verdict)])


def latency_section(verdict: Verdict) -> Section:
    drawn = latency.figure(verdict)
    if drawn is None:
        return Section("latency", "Latency", absent="Not measured: no valid run has answers in its window.")
    caption = "Each point is a cell, named along the frontier by workers times batch size. "
    caption += _of_latency(verdict.plan)
    return Section("latency", "Latency", findings.latency(verdict), [drawn], [caption])


def _of_latency(plan: Plan) -> str:
    if plan.slo:
        return f"It is that of the highest rate that keeps {plan.slo}, counted from when a request was due."
    if plan.rate_rps:
        return (
            "It counts from when a request was due: what waits in a queue is part of it. "
            "Lines join the rates of a configuration."
        )
    return "Load is a closed loop: latency grows with the requests in flight, which the plan chose."


def resources_section(verdict: Verdict) -> Section:
    title = "Memory and energy"
    memory, energy = resources.memory(verdict), resources.energy(verdict)
    if memory is None:
        return Section("resources", title, absent="Not measured: there is no telemetry of these runs.")
    lines = "Dots are cells; the line of memory joins the most of them, that of energy the least."
    if energy is None:
        lines = "Dots are cells; the line joins the most of them. Energy: no GPU told its power."
    finding = f"{findings.memory(verdict)} {findings.energy(verdict)}".strip()
    return Section("resources", title, finding, [memory, *([energy] if energy else [])], [lines])


def ceilings_section(verdict: Verdict) -> Section:
    drawn = limits.figure(verdict)
    if drawn is None:
        return Section("ceilings", "Ceilings", absent="Not measured: --ceilings does that.")
    captions = [
        "Bare model: the handler's forward pass alone, in as many processes. Empty handler: TorchServe with "
        "a model that does nothing. Roofline: the model's work against the device's peaks.",
        *(
            [f"{limits.only_arm(verdict)} only: both arms would be too many panels."]
            if limits.only_arm(verdict)
            else []
        ),
        *(verdict.ceilings.problems if verdict.ceilings else ()),
    ]
    return Section("ceilings", "Ceilings", findings.ceilings(verdict), [drawn], captions)


def predicted_section(verdict: Verdict) -> Section:
    title = "Prediction beside measurement"
    found = predicted.of_verdict(verdict)
    if not found:
        return Section("predicted", title, absent="Not predicted: there are no ceilings with a bare model.")
    captions = [
        "What --predict makes of this folder's ceilings: docs/predicting.md tells how, and what it lacks."
    ]
    return Section(
        "predicted",
        title,
        predicted.finding(found),
        captions=captions,
        tables=[predicted.table(found)],
        folded=True,
    )


def published_section(verdict: Verdict) -> Section:
    found = published.figures([verdict])
    if not found:
        why = "no published figure is of such a model at the same settings; plans/ has what compares."
        return Section("published", "Beside published figures", absent=f"Left out: {why}")
    return beside_published(found)


def beside_published(found: Sequence[tuple[Document, Figure]]) -> Section:
    """Our bars beside those of these documents."""
    captions = [
        f"Grey: {document.source}. {document.load}. {' '.join(document.caveats)} "
        f"{document.plan} asks our server the same."
        for document, _ in found
    ]
    return Section(
        "published",
        "Beside published figures",
        "What is grey was measured by others, on other hardware and with other software: context, not a "
        "comparison of equals.",
        [figure for _, figure in found],
        captions,
    )


def table_section(verdict: Verdict) -> Section:
    twin = " ↻ is the cell that was measured twice." if verdict.plan.noise_floor else ""
    caption = f"A heading sorts by its column, pressed again the other way round.{twin}"
    captions = [caption, *filter(None, [findings.same_shares(verdict)])]
    return Section("cells", "All cells", captions=captions, tables=[table.of_cells(verdict)])


def invalid_section(verdict: Verdict) -> Section:
    rows = table.of_invalid(verdict)
    flagged = table.of_flagged(verdict)
    excluded = (
        []
        if verdict.advice is None
        else [(cell, why) for cell, why in verdict.advice.excluded.items() if why]
    )
    captions = [f"Not advised: {cell}, {why}." for cell, why in excluded[:10]]
    if len(excluded) > len(captions):
        captions.append(f"Not advised for the like: {counted(len(excluded) - len(captions), 'more cell')}.")
    return Section(
        "invalid",
        "What does not count",
        findings.invalid(verdict),
        tables=[each for each in (rows, flagged) if each.rows],
        captions=captions,
    )


def environment_section(verdict: Verdict) -> Section:
    told = [
        *_machine(verdict),
        *_software(verdict.environment),
        *_model(verdict.archive),
        *_plan(verdict),
        *_resumed(verdict),
    ]
    return Section("environment", "Environment", facts=[(name, text) for name, text in told if text])


def reproduce_section(verdict: Verdict) -> Section:
    variable = {"text": "BERT", "image": "RESNET50", "embedding": "EMBEDDINGS"}.get(verdict.kind)
    source, commit = verdict.archive.get("source"), verdict.environment.get("git_commit")
    again = f"{verdict.folder}-again"
    lines = [
        *([command("git", "checkout", commit)] if commit else []),
        command("make", "mar", *([f"{variable}={source}"] if variable and source else [])),
        command("python", "-m", "mps.run", "--plan", verdict.folder / "plan.json", "--out", again),
        command("python", "-m", "mps.report", verdict.folder, again),
    ]
    given = verdict.environment.get("command")
    captions = [f"The run was started with: {given}"] if given else []
    if (verdict.folder / ADVICE).is_dir():
        captions.append(f"The files that serve the best configuration are in {verdict.folder / ADVICE}.")
    return Section("reproduce", "How to reproduce", captions=captions, command="\n".join(lines))


def _machine(verdict: Verdict) -> Iterator[tuple[str, str]]:
    told = verdict.environment
    for gpu in verdict.gpus:
        yield (
            "GPU" if gpu == verdict.card else "GPU, not used",
            _listed(
                gpu.get("name"),
                f"{gpu['memory_bytes'] / GIB:.0f} GiB" if gpu.get("memory_bytes") else None,
                f"driver {gpu['driver']}" if gpu.get("driver") else None,
                f"power limit {gpu['power_limit_w']:.0f} W" if gpu.get("power_limit_w") else None,
                "MIG" if gpu.get("mig") else None,
                "a stand-in" if verdict.stood_in_for else None,
            ),
        )
    if told and not verdict.gpus:
        yield "GPU", "none"
    cpu = told.get("cpu")
    if isinstance(cpu, dict):
        cores = f"{cpu['cores']} cores usable" if cpu.get("cores") else None
        yield "CPU", _listed(cpu.get("model"), cores)
    if told.get("memory_bytes"):
        yield "Memory", f"{told['memory_bytes'] / GIB:.0f} GiB"
    yield "System", _listed(told.get("os"))
    if told.get("load_average_1min") is not None:
        yield "Load before", f"{told['load_average_1min']:.2f} (1 minute average)"


def _software(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    versions = {"Python": told.get("python"), **(told.get("versions") or {}), **(told.get("engines") or {})}
    yield "Software", _listed(*(f"{name} {version}" for name, version in versions.items() if version))
    yield "Java", _listed(told.get("java"))
    variables = told.get("variables") or told.get("torchserve_env") or {}  # as it was called until 2026-11-26
    yield "Variables", _listed(*(f"{key}={value}" for key, value in variables.items()))
    yield "Commit", _commit(told)


def _commit(told: Mapping[str, Any]) -> str:
    if not told.get("git_commit"):
        return "not known" if told else ""
    changed = {True: ", with changes that were not committed", None: ", changed or not is not known"}
    return f"{told['git_commit']}{changed.get(told.get('git_dirty'), '')}"


def _model(archive: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Model", _listed(archive.get("architecture"), archive.get("note") or archive.get("source"))
    yield "Archive", f"sha256 {archive['sha256']}" if archive.get("sha256") else ""


def _plan(verdict: Verdict) -> Iterator[tuple[str, str]]:
    plan = verdict.plan
    length = f"{plan.requests:,} requests" if plan.requests else f"{plain(plan.duration_s or 0, 6)} s"
    yield "Each run", f"{length} after {plain(plan.warm_up_s, 6)} s of warm-up or more, {_load(plan)}"
    inputs = f"texts of {plan.tokens} tokens" if plan.tokens else plan.input or "our own pool"
    inputs += (
        "" if plan.input_as == "body" else f", sent in {'a form' if plan.input_as == 'form' else 'JSON'}"
    )
    yield (
        "Plan",
        _listed(
            f"{counted(plan.runs, 'run')} of each cell",
            f"batch delay {_several(plan.batch_delay_ms)} ms",
            f"server {_several(plan.server)}" if plan.server != (TORCHSERVE,) else None,
            f"engine {_several(plan.engine)}" if any(plan.engine) else None,
            f"precision {_several(plan.precision)}" if any(plan.precision) else None,
            f"{_several(plan.client_batch)} inputs a request" if max(plan.client_batch) > 1 else None,
            f"inputs: {inputs}",
            "interleaved run by run" if plan.interleave else None,
            f"seed {plan.seed}",
        ),
    )
    if verdict.started_at:
        yield "Started", f"{verdict.started_at:%Y-%m-%d %H:%M} UTC"


def _load(plan: Plan) -> str:
    clients = f" from {plan.processes} processes" if plan.processes > 1 else ""
    if plan.slo:
        return f"searching the highest rate that keeps {plan.slo}, {plan.arrivals} arrivals{clients}"
    if plan.rate_rps:
        return f"open loop at {_several(plan.rate_rps)} requests/s, {plan.arrivals} arrivals{clients}"
    in_flight = _several(plan.concurrency) if plan.concurrency else "2 for each place in a batch"
    return f"closed loop, requests in flight: {in_flight}{clients}"


def _several(values: Sequence[object]) -> str:
    return ", ".join(plain(value, 6) if isinstance(value, float) else f"{value}" for value in values)


def _resumed(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Each later start of the run, and what was not as at the first."""
    for start in verdict.environment.get("resumed") or []:
        known = {key: start.get(key, verdict.environment.get(key)) for key in {*verdict.environment, *start}}
        everything = dict.fromkeys(("cpu", "gpus", "versions", "python", "java", "git_commit")) | known
        changed = differences(dict(verdict.environment), everything)
        when = str(start.get("started_at", ""))[:16].replace("T", " ")
        yield f"Resumed {when}", "; ".join(changed) or "on the same machine, with the same software"


def _listed(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
