"""The answers of a sweep's trials, checked one trial after another: a wrong one makes a trial invalid."""

from dataclasses import replace
from pathlib import Path

from experiments.answers import AnswerCheck, Checked, Reference, read_reference, write_reference
from experiments.answers.check import agrees_with_itself, most_frequent
from experiments.answers.reference import reference_from, reference_of
from experiments.base.errors import ServerError
from experiments.bench import Bench
from experiments.ceilings.bare import BareModelError
from experiments.load import Answers, LoadResult
from experiments.measure.progress import Progress
from experiments.plan import Cell, Plan
from experiments.results.trial_result import TrialResult

NOT_COMPARABLE = (
    "this model answers the same input differently each time: its answers can't be compared, and wrong ones "
    "would not be noticed"
)
LOST = (
    "answers in {precision} are not checked: rounding alone changes this model's by up to {off:.2g}, as with "
    "random weights; build the archive from your checkpoint"
)


class WrongAnswersError(ServerError):
    """A server answers otherwise than the model that it serves."""

    def __init__(self, found: Checked) -> None:
        super().__init__("the server's first answers are wrong")
        self.found = found


class CheckedAnswers:
    """The reference of a results folder, made when it is needed first, and what is held against it."""

    def __init__(self, plan: Plan, bench: Bench, folder: Path, progress: Progress) -> None:
        self._plan, self._bench, self._folder, self._progress = plan, bench, folder, progress
        self._reference = read_reference(folder) if plan.check_answers else None

    @property
    def wanted(self) -> bool:
        """Whether there is, or may yet be, something to hold answers against."""
        may_come = self._bench.provenance.kind == "unknown"
        return self._plan.check_answers and (self._reference is not None or may_come)

    def prepare(self) -> None:
        """Has the reference of one of our handlers, before anything is measured beside it."""
        if not self._plan.check_answers or self._reference or self._bench.provenance.kind == "unknown":
            return
        try:
            self._keep(reference_of(self._bench, self._plan))
        except BareModelError as error:
            self._progress.warn(f"answers are not checked: {error}")
            return
        assert self._reference is not None
        for precision in self._reference.lost():
            self._progress.warn(LOST.format(precision=precision, off=self._reference.rounding[precision]))

    def checked(self, result: TrialResult, load: LoadResult | None) -> TrialResult:
        """The trial with what its answers came to. Of a foreign archive, the first valid one without MPS is
        the reference of all that come after it."""
        if load is None or load.answers is None or not self._plan.check_answers:
            return result
        if self._reference is None and self._bench.provenance.kind == "unknown":
            self._begin_with(result, load.answers)
        if self._reference is None:
            return result
        cell = result.trial.cell
        found = self._check(cell, load.answers)
        if found.wrong and self._reference.foreign and self._reference.is_from(cell):
            self._give_up()
            return result
        return noted(result, found)

    def refuse_wrong(self, cell: Cell, answers: Answers | None) -> None:
        """The first answers of a server, before any figure of it is taken. Raises WrongAnswersError."""
        if answers is None or not self._plan.check_answers or self._reference is None:
            return
        if (found := self._check(cell, answers)).wrong:
            raise WrongAnswersError(found)

    def _check(self, cell: Cell, answers: Answers) -> Checked:
        assert self._reference is not None
        bench = self._bench
        asked = cell.client_batch, bench.precision_of(cell), bench.accepted_of(cell)
        return AnswerCheck(self._reference).check(answers, bench.pool_of(cell), *asked)

    def _begin_with(self, result: TrialResult, answers: Answers) -> None:
        if not result.valid or result.trial.cell.mps:
            return
        if agrees_with_itself(answers):
            self._keep(reference_from(result.trial.cell, most_frequent(answers)))
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._keep(replace(self._reference or Reference(foreign=True), comparable=False))
        self._progress.warn(NOT_COMPARABLE)

    def _keep(self, reference: Reference) -> None:
        self._reference = reference
        write_reference(self._folder, reference)


def noted(result: TrialResult, found: Checked) -> TrialResult:
    """A trial with what its answers came to; invalid where some are wrong."""
    problems = [found.problem] if found.problem else []
    return replace(
        result,
        answers_checked=found.answers,
        answers_wrong=found.wrong,
        answers_worst_difference=found.worst_difference,
        top1_agreement=found.top1_agreement,
        problems=[*problems, *result.problems],
        may_have_passed=result.may_have_passed and not found.wrong,
    )
