"""The parts of a placement's page in their order."""

from collections.abc import Sequence

from experiments.report.placement import compared, findings, tables
from experiments.report.placement.figures import attainment, latency, load, proof, shares
from experiments.report.placement.figures import gpus as gpus_figure
from experiments.report.placement.parts import Alike
from experiments.report.placement.placing import Placing
from experiments.report.sections import Section
from experiments.verdict.words import counted


def of_placement(placing: Placing, gpus: Sequence[Alike]) -> list[Section]:
    """All sections. What is not in the page, and why, is the last of them."""
    made = [
        gpus_section(placing, gpus),
        models_section(placing),
        measured_section(placing),
        latency_section(placing, gpus),
        shares_section(placing, gpus),
        load_section(placing),
        strategies_section(placing),
    ]
    shown = [section for section in made if not section.absent]
    if absent := [(section.title, section.absent) for section in made if section.absent]:
        shown.append(Section("absent", "Not in this page", facts=absent))
    return shown


def gpus_section(placing: Placing, gpus: Sequence[Alike]) -> Section:
    captions = [
        "Each bar is a GPU, cut to scale; everyone on a part gets one batch in each cycle. A part is filled "
        "from below as far as it is at work at the rates that are asked, in full batches.",
    ]
    if any(len(alike.numbers) > 1 for alike in gpus):
        captions.append("GPUs that are cut alike are drawn once, with their number.")
    if len(gpus) > gpus_figure.MOST:
        captions.append(
            f"Not drawn: {counted(len(gpus) - gpus_figure.MOST, 'more kind')} of GPU; they are in the table."
        )
    return Section(
        "gpus",
        "GPUs",
        heading=findings.gpus(placing, gpus),
        figures=[gpus_figure.figure(placing, gpus)],
        captions=captions,
        tables=[tables.of_parts(placing, gpus)],
    )


def models_section(placing: Placing) -> Section:
    return Section(
        "models",
        "Models",
        heading=findings.models(placing),
        captions=[_of_prediction(placing)],
        tables=[tables.of_models(placing)],
    )


def measured_section(placing: Placing) -> Section:
    drawn = proof.figure(placing)
    if drawn is None:
        return Section(
            "measured", "Measured", absent="--run serves the placement here and measures every model."
        )
    return Section(
        "measured",
        "Measured",
        heading=findings.measured(placing),
        figures=[drawn],
        captions=[
            "The line between the two is how far the prediction was off. The numbers are in the table above."
        ],
    )


def latency_section(placing: Placing, gpus: Sequence[Alike]) -> Section:
    captions = [
        "Dots were measured; between them lies the straight line. A request that just missed its batch waits "
        "for the next one, so alone on a part a batch may take half of the bound. A ring is what was chosen, "
        "beside its neighbours: above its line by what they cost.",
    ]
    if max(placing.problem.rules.card.processes) > 1:
        captions.append("Lines are of one process; with several copies on a part a batch takes longer.")
    return Section(
        "latency",
        "Latency",
        heading=findings.latency(placing, gpus),
        figures=[latency.figure(placing, gpus)],
        captions=[*captions, *_not_drawn(placing)],
    )


def shares_section(placing: Placing, gpus: Sequence[Alike]) -> Section:
    drawn = shares.figure(placing, gpus)
    if drawn is None:
        return Section(
            "shares", "Throughput by share", absent="The profile has one share: measure others too."
        )
    return Section(
        "shares",
        "Throughput by share",
        heading=findings.shares(placing, gpus),
        figures=[drawn],
        captions=[
            "Of each share the batch that gets most through alone while two of it fit into the bound. The "
            "knee is that of the gpu-let paper (Choi et al., USENIX ATC 2022): the share whose throughput "
            "lies furthest above the straight line from the smallest to the whole. A ring marks what the "
            "placement uses.",
            *_not_drawn(placing),
        ],
    )


def load_section(placing: Placing) -> Section:
    title = "GPUs against load"
    if why := compared.too_large(placing):
        return Section("load", title, absent=why)
    found = compared.needed(placing)
    drawn = load.figure(found)
    return Section(
        "load",
        title,
        heading=findings.load(placing, found),
        figures=[drawn] if drawn else [],
        captions=[
            "All rates times so much, on as many GPUs as each strategy needs. Nothing here was measured."
        ],
        tables=[tables.of_load(found)],
        facts=[(f"{strategy} lacks some", why) for strategy, why in found.why.items()],
    )


def strategies_section(placing: Placing) -> Section:
    title = "Within the bounds, by strategy"
    if why := compared.too_large(placing):
        return Section("strategies", title, absent=why)
    attained = compared.attained(placing)
    count = counted(len(placing.placement.gpus), "GPU")
    return Section(
        "strategies",
        title,
        heading=findings.attainment(placing, attained),
        figures=[attainment.figure(attained)],
        captions=[
            f"Each strategy's placement on {count}, or on as many as it needs, simulated with the same "
            f"{compared.simulated_s(placing):.0f} seconds of Poisson arrivals.",
        ],
        tables=[tables.of_strategies(attained)],
        facts=[(f"{each.strategy} found none", each.why) for each in attained if not each.gpus],
    )


def _not_drawn(placing: Placing) -> list[str]:
    left_out = len(placing.problem.workloads) - len(placing.drawn())
    return [f"Not drawn: {counted(left_out, 'model')} with lower rates."] if left_out else []


def _of_prediction(placing: Placing) -> str:
    if placing.proven:
        return (
            "Predicted is what the simulator makes of the very requests that were sent, with what batches "
            "take under TorchServe as it was measured before. Without a GPU shares are cores, and all of the "
            "CPU counts as one GPU."
        )
    return "Predicted is what ten simulated minutes of Poisson arrivals give."
