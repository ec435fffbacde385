"""The parts of a placement's page in their order."""

from collections.abc import Sequence

from experiments.report.placement import findings, tables
from experiments.report.placement.figures import gpus as gpus_figure
from experiments.report.placement.parts import Alike
from experiments.report.placement.placing import Placing
from experiments.report.sections import Section
from experiments.verdict.words import counted


def of_placement(placing: Placing, gpus: Sequence[Alike]) -> list[Section]:
    """All sections."""
    return [gpus_section(placing, gpus), models_section(placing)]


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


def _of_prediction(placing: Placing) -> str:
    if placing.proven:
        return (
            "Predicted is what the simulator makes of the very requests that were sent, with what batches "
            "take under TorchServe as it was measured before."
        )
    return "Predicted is what ten simulated minutes of Poisson arrivals give."
