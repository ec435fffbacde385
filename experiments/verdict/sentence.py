"""A verdict in words: one sentence, and what belongs beside it. The same on a terminal and on a page."""

from collections import Counter
from collections.abc import Iterator, Sequence

from experiments.base.shown import command
from experiments.plan.defaults import CONFIDENCE
from experiments.results import by_cell, counting
from experiments.search import Outcome
from experiments.verdict.advice import Advice
from experiments.verdict.stats import OUTCOMES
from experiments.verdict.verdict import Pair, Verdict
from experiments.verdict.words import (
    apart,
    change,
    configuration,
    counted,
    interval,
    joined,
    number,
    percent,
    sentence,
    shortened,
)


def verdict_sentence(verdict: Verdict) -> str:
    """What to use, how much better it is than the next, and how sure that is; or why nothing can be said."""
    return advice_sentence(verdict.advice) if verdict.advice else sentence(_without_advice(verdict))


def advice_sentence(advice: Advice) -> str:
    """What to use, how much better it is than the next, and how sure that is."""
    text = f"use {configuration(advice.best.cell)}: {number(advice.best.median.median)} {advice.unit}"
    if bounds := advice.goal.bounds:
        text += f" with {joined(str(bound).replace('<', ' below ') for bound in bounds)}"
    margin, runner_up = advice.margin, advice.runner_up
    if margin is not None and runner_up is not None:
        if advice.passed_over is not None:
            text += f", which {configuration(runner_up.cell)} is not shown to surpass"
        elif runner_up.cell in {rival.cell for rival in advice.rivals}:
            text += f", not shown to be more than the runner-up, {configuration(runner_up.cell)}"
        else:
            text += f", {change(margin.ratio)} over the runner-up, {configuration(runner_up.cell)}"
        text += f" ({interval(margin)} times it with {percent(margin.confidence, 3)} confidence)"
    return sentence(text)


def besides(verdict: Verdict) -> list[str]:
    """What belongs to the verdict and is not in its sentence: MPS, rivals, the knee, the advice's notes."""
    found = [what_mps_does(verdict, explained=False)] if verdict.pairs else []
    if verdict.searched and verdict.trials:
        found += [line for line in [search_sentence(verdict.searched)] if line]
    if verdict.advice is None:
        return found
    rivals = [configuration(rival.cell) for rival in verdict.advice.rivals]
    if len(rivals) > 1:
        found.append(f"{len(rivals)} configurations are not shown to be slower: {shortened(rivals)}.")
    knee, best = verdict.advice.knee, verdict.advice.best
    if knee.cell.batch_size < best.cell.batch_size:
        found.append(
            f"The smallest batch within 5 % of it: {configuration(knee.cell)}, with "
            f"{number(knee.median.median)} {verdict.advice.unit}."
        )
    return found + [sentence(note) for note in verdict.advice.notes]


def search_sentence(searched: Outcome) -> str:
    """How many configurations a search never measured, and why they can't be better; empty where none."""
    never = len(searched.never_measured)
    if not never:
        return ""
    were = "was" if never == 1 else "were"
    told = f"{never} of {counted(searched.cells, 'configuration')} {were} never measured"
    better = f"more than {apart(searched.worth)} better"
    if searched.next_cell:
        return f"{told}, {len(searched.open) or 'none'} of which may still be {better}."
    by = "the prediction, corrected by what was measured" if searched.predicted else "what the others show"
    surely = f"with {percent(CONFIDENCE)} confidence"
    if not searched.standing.contenders:
        return f"{told}: by {by}, none of them keeps the bounds, {surely}."
    return f"{told}: by {by}, none of them is {better}, {surely}."


def banners(verdict: Verdict) -> Iterator[str]:
    """What a reader must know before any number."""
    yield from _wrong_answers(verdict)
    if busy := disturbed_sentence(verdict):
        yield busy
    if verdict.stood_in_for:
        yield "The GPU and its MPS clients were stood in for: these are figures of a test and of no GPU."
    if verdict.random_weights:
        yield "The model's weights are random: its speed is representative, its predictions are not."
    if verdict.searched and verdict.searched.next_cell and verdict.trials:
        yield (
            "The search is not over, and something better may be left. "
            f"Go on with {command('python', '-m', 'mps.run', '--resume', verdict.folder)}"
        )
    if verdict.left and verdict.trials:
        yield (
            f"Not complete: {len(verdict.left)} of {len(verdict.planned)} runs are not measured. "
            f"Go on with {command('python', '-m', 'mps.run', '--resume', verdict.folder)}"
        )
    if verdict.short:
        told = shortened([f"{configuration(cell)} ({valid})" for cell, valid in verdict.short.items()])
        yield f"{counted(len(verdict.short), 'cell')} with fewer valid runs than were asked for: {told}."
    if verdict.environment.get("git_dirty"):
        yield "Measured with changes that were not committed: the commit below does not tell all."
    yield from (sentence(note) for note in verdict.notes)


def _wrong_answers(verdict: Verdict) -> Iterator[str]:
    """The most expensive finding of all: something that was fast, and wrong."""
    wrong = [result for result in verdict.trials if result.answers_wrong]
    if not wrong:
        return
    cells = list(dict.fromkeys(result.trial.cell for result in wrong))
    more = f" and {counted(len(cells) - 1, 'other configuration')}" if len(cells) > 1 else ""
    yield (
        f"Wrong answers in {len(wrong)} of {counted(len(verdict.trials), 'run')}, which don't count: "
        f"{configuration(cells[0])}{more}. There, {wrong[0].problems[0]}."
    )


def disturbed_sentence(verdict: Verdict) -> str:
    """How many runs something else had a part in, what was done about it, and which figures rest on them;
    empty on a quiet machine."""
    runs = {(result.trial.cell, result.trial.run): None for result in verdict.disturbed}
    if not runs:
        return ""
    measured = {(result.trial.cell, result.trial.run) for result in verdict.trials}
    again = {
        (result.trial.cell, result.trial.run) for result in verdict.trials if result.trial.attempt
    } & set(runs)
    which = "run was" if len(measured) == 1 else "runs were"
    text = f"This machine was busy: {len(runs)} of {len(measured)} {which} disturbed, {len(again)} "
    text += f"{'was' if len(again) == 1 else 'were'} measured again"
    resting = [
        configuration(cell)
        for cell, of_cell in by_cell(verdict.trials).items()
        if any(result.disturbed for result in counting(of_cell))
    ]
    if resting:
        return f"{text}; too few are undisturbed, and all count, of {shortened(resting)}."
    return f"{text}; the figures are those of undisturbed runs."


def what_mps_does(verdict: Verdict, *, explained: bool = True) -> str:
    """In how many pairs MPS helps, hurts, or makes no difference that shows."""
    known = [pair for pair in verdict.pairs if pair.known]
    if not known:
        return "No cell has valid runs both with and without MPS."
    by_outcome: dict[str, list[Pair]] = {}
    for pair in known:
        by_outcome.setdefault(pair.comparison.outcome, []).append(pair)
    parts = [_effect(name, by_outcome[name]) for name in OUTCOMES if name in by_outcome]
    text = f"Of {counted(len(known), 'pair')} of cells, MPS {joined(parts)}."
    if explained and any(name.endswith("itself") for name in by_outcome):
        text += (
            f" 'By itself' is what a pair alone shows; a verdict that allows for all {len(known)} pairs "
            f"takes {verdict.runs_for_all_pairs} runs of each cell or more."
        )
    return text


def _effect(name: str, pairs: Sequence[Pair]) -> str:
    ratios = [pair.comparison.ratio for pair in pairs]
    low, high = change(min(ratios)), change(max(ratios))
    reach = low if low == high else f"{low} to {high}"
    return f"{'has' if name == 'not enough runs' else 'is'} {name} in {len(pairs)} ({reach})"


def _without_advice(verdict: Verdict) -> str:
    if not verdict.trials:
        return f"nothing is measured yet: {counted(len(verdict.planned), 'run')} to go"
    if any(result.valid for result in verdict.trials):
        return f"no verdict: {verdict.no_advice}"
    problems = Counter(problem for result in verdict.invalid for problem in result.problems)
    problem, times = problems.most_common(1)[0]
    which = "" if times == len(verdict.trials) else f", {times} of them"
    return f"no verdict: all {counted(len(verdict.trials), 'run')} are invalid{which}: {problem}"
