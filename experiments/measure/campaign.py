"""Carries out a plan: servers, registrations, trials, each on disk before the next one starts.

A server is started only when a cell needs another environment, a model registered only when the cell
changes. What a trial measures, and what the files look like, lives elsewhere.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby, takewhile
from pathlib import Path
from typing import IO, Any

from experiments.base.errors import ExperimentError, KilledError, ServerError, shortage_behind
from experiments.base.shown import command
from experiments.bench import Bench
from experiments.load import LoadResult
from experiments.measure.again import came_back, due_again, next_position
from experiments.measure.alone import Alone, is_wanted, measured_alone
from experiments.measure.checked_answers import CheckedAnswers, WrongAnswersError, noted
from experiments.measure.first_answers import refuse_unanswered
from experiments.measure.hosts import Host, WorkersLostError, as_ours, bodies, hosted
from experiments.measure.next_trials import due
from experiments.measure.progress import Progress
from experiments.measure.trial import Serving, failed, measure
from experiments.plan import Cell, Plan, Trial
from experiments.plan.servers import TORCHSERVE
from experiments.predict.predicted import Predictor
from experiments.results.folder import append, open_for_append, read_trials
from experiments.results.trial_result import TrialResult
from experiments.search.kept import kept_predictor
from experiments.serving.arms import arm, released
from experiments.serving.registration import Registration
from experiments.serving.workers import limits_env, torch_threads, worker_env
from experiments.watch.counters import TALLY_VARIABLE
from mps.card import read, unseen_neighbour
from mps.control import DaemonKilledError, MpsError

FAILED_CELLS_IN_A_ROW = 2  # then the cause is not the cell
JUST_STARTED = 3  # times as long a warm-up: Java compiles its own code beside the first requests


def carry_out(
    plan: Plan, bench: Bench, folder: Path, progress: Progress, *, cells: Collection[Cell] | None = None
) -> list[TrialResult]:
    """Measures every trial of `plan`, or of those `cells` of it, that `folder` doesn't hold yet; returns all
    results.

    A cell that cannot be loaded, or whose server dies twice, is recorded as invalid and the rest goes on. A
    run that was disturbed, or failed for a cause that may have passed, is measured again (again.py).
    Ends early when the plan's budget is spent. Raises ExperimentError when nothing works at all; what was
    measured until then stays in `folder`.
    """
    with open_for_append(folder) as file:
        results = read_trials(folder, plan)
        answers = CheckedAnswers(plan, bench, folder, progress)
        predictor = kept_predictor(folder)
        if due(plan, results, cells, predictor):
            answers.prepare()
        if bench.card and (neighbour := unseen_neighbour(bench.card)):
            progress.warn(f"{neighbour}: what they do is measured too")
        campaign = _Campaign(plan, bench, folder, file, progress, results, answers, predictor)
        if plan.budget_s is not None:
            campaign.ends_s = time.monotonic() + plan.budget_s
        try:
            if plan.search:
                progress.searching(sum(not cell.twin for cell in plan.cells()), done=len(results))
            while todo := due(plan, results, cells, predictor):
                if not plan.search:
                    progress.planned(todo, done=len(results))
                while todo:
                    todo = campaign.measure_on_one_server(todo)
        except _BudgetSpentError:
            progress.warn(
                f"the budget of {plan.budget_s:g} s is spent: {command('--resume', folder)} goes on"
            )
    return results


def _same_server(trial: Trial) -> tuple[Any, ...]:
    """What must be equal for two trials to share a server: everything that its environment carries."""
    cell = trial.cell
    limits = cell.thread_percentage, cell.memory_limit_mib, cell.sm_chunks
    has = cell.mps, torch_threads(cell.workers), cell.precision, cell.engine, *limits
    registered = () if cell.server == TORCHSERVE else (*cell.registration, cell.client_batch)
    return cell.server, *has, *registered


def _same_model(trial: Trial) -> tuple[Any, ...]:
    """What must be equal for two trials on a server to share a loaded model."""
    return trial.cell.registration


def _longer_warm_up(trial: Trial) -> Trial:
    """The first trial on a server, as it is measured and noted."""
    return replace(trial, load=replace(trial.load, warm_up_s=JUST_STARTED * trial.load.warm_up_s))


def _visit(trial: Trial) -> tuple[Any, ...]:
    """What tells a trial from all others, wherever in the order it is measured."""
    return trial.cell, trial.run, trial.attempt


def _raise_shortage(error: ExperimentError) -> None:
    """Raises what this machine has run out of: no cell is to blame, and --resume measures it."""
    if shortage := shortage_behind(error):
        raise shortage from error


class _BudgetSpentError(Exception):
    """There is no time for another trial."""


class _LostInTrialError(Exception):
    """Server or daemon went while `trial` was measured."""

    def __init__(self, trial: Trial, cause: ExperimentError) -> None:
        super().__init__(str(cause))
        self.trial, self.cause = trial, cause


@contextmanager
def _killed_where_gone(server: Host) -> Iterator[None]:
    """Whatever fails as the server is gone is no failure of the model, or of the user's files."""
    try:
        yield
    except ExperimentError as error:
        if server.alive:
            raise
        raise KilledError(str(error), error.details) from error


class _Campaign:
    """The trials of one carry_out: what they need in common, and the results so far."""

    def __init__(
        self,
        plan: Plan,
        bench: Bench,
        folder: Path,
        file: IO[bytes],
        progress: Progress,
        results: list[TrialResult],
        answers: CheckedAnswers,
        predictor: Predictor | None,
    ) -> None:
        self.plan, self.bench, self.folder, self.file = plan, bench, folder, file
        self.answers, self.predictor = answers, predictor
        self.progress, self.results = progress, results
        self.failed_cells = 0
        self.tried = False
        self.given_up: dict[str, ExperimentError] = {}  # servers, where others are left, and why
        self.ends_s = math.inf  # on the clock of time.monotonic

    def measure_on_one_server(self, todo: Sequence[Trial]) -> list[Trial]:
        """Measures the leading trials that can share a server; returns those that are left.

        Where the server or the daemon goes in a trial, or is killed before the first, that is recorded and
        measured again at once, on a new one. Where it goes again, or fails otherwise, the cell at hand is
        recorded and the rest gets new ones.
        """
        block = list(next(trials for _, trials in groupby(todo, key=_same_server)))
        before = len(self.results)
        again: list[Trial] = []
        if why := self.given_up.get(block[0].cell.server):
            self._keep_failed(block, why)
            return self._left(todo, before)
        try:
            self._measure_block(block)
        except WrongAnswersError as error:
            self._keep_failed(self._left(block, before), error)
        except WorkersLostError as error:
            if len(self.results) == before:  # else what is left of the block gets a new server
                self._record_failure(block, error, block[0].cell.server)
        except _LostInTrialError as lost:
            again = self._lost(lost, self._left(block, before))
        except (KilledError, DaemonKilledError) as error:
            self.progress.warn(f"{error}: what is left gets a new one")
            if len(self.results) == before:  # else there is no end where it is killed each time
                again = self._lost(_LostInTrialError(block[0], error), block)
        except (ServerError, MpsError) as error:
            self._record_failure(self._left(block, before), error, block[0].cell.server)
        return [*again, *self._left(todo, before)]

    def _left(self, todo: Sequence[Trial], before: int) -> list[Trial]:
        """Those of `todo` that are not among the results since there were `before` of them."""
        done = {_visit(result.trial) for result in self.results[before:]}
        return [trial for trial in todo if _visit(trial) not in done]

    def _measure_block(self, block: list[Trial]) -> None:
        """Measures trials that share a server; of a search also those that come next and can share it, which
        are added to `block`."""
        cell = block[0].cell
        threads = torch_threads(cell.workers)
        set_up = self.bench.card, self.bench.mps, self.progress.warn
        with arm(cell.mps, *set_up, sm_chunks=cell.sm_chunks) as current:
            env = {
                **worker_env(threads, cell.precision, cell.engine),
                **({TALLY_VARIABLE: "1"} if cell.server == TORCHSERVE else {}),
                **current.env,
                **limits_env(cell),
            }
            settings = self.bench.gpus_dealt
            before_bytes = read(self.bench.card).memory_used_bytes if self.bench.card else None
            source = self.bench.source
            hosting = hosted(cell, self.bench.archive, threads, env, settings, source.listens_on)
            with hosting as server, released(current, server.pid):
                serving = Serving(server, (), current, threads, self.bench.card, before_bytes, source=source)
                for _, trials in groupby([_longer_warm_up(block[0]), *block[1:]], key=_same_model):
                    self._measure_loaded(serving, list(trials), block)
                while next_trial := self._next_here(block, _same_server):
                    self._measure_loaded(serving, [next_trial], block)

    def _try_inputs(self, server: Host) -> None:
        """Once, before the first trial: does the model take the user's own files?"""
        if self.tried:
            return
        files = sum(bool(body.name) for body in self.bench.pool)
        tried = refuse_unanswered(
            server.predict_url, server.headers, bodies(server, self.bench.pool), lambda: server.log_since(0)
        )
        if tried < files:
            self.progress.warn(f"--input holds {files} files: {tried} of them were tried beforehand")
        self.tried = True

    def _measure_loaded(self, serving: Serving, trials: Sequence[Trial], block: list[Trial]) -> None:
        server, cell = serving.server, trials[0].cell
        self.progress.loading(trials[0])
        registration = Registration(self.bench.archive, *cell.registration, inputs=cell.client_batch)
        with _killed_where_gone(server):
            workers = server.register(registration)
            self._try_inputs(server)
        serving = replace(serving, alone=self._alone(server, trials[0]))
        for trial in self._and_more(trials, block):
            if time.monotonic() > self.ends_s:
                raise _BudgetSpentError
            self.progress.measuring(trial)
            result, load = self._measure(trial, replace(serving, workers=workers))
            self._keep(result, load)
            self._stop_if_hopeless(result, server)
            if not result.valid:  # a worker that died was replaced
                with _killed_where_gone(server):
                    workers = server.wait_for_workers(cell.workers)
        with _killed_where_gone(server):
            server.unregister()
        self.failed_cells = 0

    def _alone(self, server: Host, trial: Trial) -> Alone:
        """A request alone, and none at all, where that is compared; of another server than TorchServe no more
        is measured where its first answers are wrong."""
        if not is_wanted(self.plan):
            return Alone()
        cell = trial.cell
        try:
            pool = bodies(server, self.bench.pool_of(cell))
            found = measured_alone(server, pool, self.plan.seed, self.bench.source)
        except ServerError as error:
            raise _LostInTrialError(trial, error) from error
        if cell.server != TORCHSERVE:
            self.answers.refuse_wrong(cell, found.answers)
        return found

    def _and_again(self, trials: Sequence[Trial]) -> Iterator[Trial]:
        """`trials` and then, while their model is loaded, each once more that is worth it."""
        for trial in trials:
            yield self._placed(trial)
        measured = {(trial.cell, trial.run) for trial in trials}
        while measured:
            due_now = (
                each for each in due_again(self.plan, self.results) if (each.cell, each.run) in measured
            )
            again = next(due_now, None)
            if again is None:
                return
            measured.remove((again.cell, again.run))
            self.progress.again(again)
            yield self._placed(again)

    def _and_more(self, trials: Sequence[Trial], block: list[Trial]) -> Iterator[Trial]:
        """`trials`, again where it is worth it, and of a search what comes next and has the same model."""
        yield from self._and_again(trials)
        while next_trial := self._next_here(block, lambda trial: (_same_server(trial), _same_model(trial))):
            yield self._placed(next_trial)

    def _next_here(self, block: list[Trial], shared: Callable[[Trial], tuple[Any, ...]]) -> Trial | None:
        """Of a search the next trial, added to `block`, where it shares with that what it needs."""
        if not self.plan.search:
            return None
        following = due(self.plan, self.results, predictor=self.predictor)[:1]
        if not following or shared(following[0]) != shared(block[-1]):
            return None
        block += following
        return following[0]

    def _placed(self, trial: Trial) -> Trial:
        """A trial whose place in the order the plan does not give has the next one that is free."""
        if not (trial.attempt or self.plan.adaptive):
            return trial
        return replace(trial, position=next_position(self.plan, self.results))

    def _measure(self, trial: Trial, serving: Serving) -> tuple[TrialResult, LoadResult | None]:
        clocks_mhz = [
            each.telemetry.sm_clock_mhz_mean
            for each in self.results
            if each.telemetry and each.trial.cell == trial.cell
        ]
        try:
            result, load = measure(
                trial,
                serving,
                self.bench.pool_of(trial.cell),
                partial(self.progress.note, trial),
                keep_answers=self.answers.wanted,
                first_clock_mhz=next(iter(clocks_mhz), None),
            )
        except (ServerError, MpsError) as error:
            raise _LostInTrialError(trial, error) from error
        if load and load.answers:
            load = replace(load, answers=as_ours(serving.server, load.answers))
        return self.answers.checked(result, load), load

    def _keep(self, result: TrialResult, load: LoadResult | None) -> None:
        result = replace(result, device=self.bench.device)
        append(self.folder, self.file, result, load.columns() if load else None)
        self.results.append(result)
        self.progress.finished(result)

    def _lost(self, lost: _LostInTrialError, left: Sequence[Trial]) -> list[Trial]:
        """Notes it; returns the attempt to measure it after all, unless it is the cell's own failure."""
        if not came_back(lost.trial, self.results):
            return self._record_lost(lost)
        others = [trial for trial in left if _visit(trial) != _visit(lost.trial)]
        self._record_failure([lost.trial, *others], lost.cause, lost.trial.cell.server)
        return []

    def _record_lost(self, lost: _LostInTrialError) -> list[Trial]:
        """Notes the trial that was lost as invalid; returns the attempt to measure it after all."""
        _raise_shortage(lost.cause)
        trial, threads = self._placed(lost.trial), torch_threads(lost.trial.cell.workers)
        self._keep(failed(trial, str(lost), threads, may_have_passed=True), None)
        attempts = due_again(self.plan, self.results)
        again = [each for each in attempts if (each.cell, each.run) == (trial.cell, trial.run)]
        for each in again:
            self.progress.again(each)
        return again

    def _record_failure(self, left: Sequence[Trial], error: ExperimentError, server: str) -> None:
        """Notes the outstanding trials of the leading cell as invalid; where nothing of its server has worked
        yet, or the cell before failed too, gives that up; raises `error` where all is measured."""
        _raise_shortage(error)
        self.failed_cells += 1
        worked = any(result.valid and result.trial.cell.server == server for result in self.results)
        if not worked or self.failed_cells == FAILED_CELLS_IN_A_ROW:
            self._give_up(server, error)
        elif not left:
            raise error
        self._keep_failed(list(takewhile(lambda trial: trial.cell == left[0].cell, left)), error)

    def _give_up(self, server: str, error: ExperimentError) -> None:
        """Measures no more of a server; raises `error` where no other is left."""
        if not set(self.plan.server) - {server, *self.given_up}:
            raise error
        self.given_up[server], self.failed_cells = error, 0
        self.progress.warn(f"no more is measured of {server}: {error}")

    def _keep_failed(self, trials: Sequence[Trial], error: ExperimentError) -> None:
        for trial in trials:
            result = failed(self._placed(trial), str(error), torch_threads(trial.cell.workers))
            told = noted(result, error.found) if isinstance(error, WrongAnswersError) else result
            self._keep(told, None)

    def _stop_if_hopeless(self, result: TrialResult, server: Host) -> None:
        served = sum(count for status, count in result.statuses.items() if status.startswith("2"))
        of_server = [each for each in self.results if each.trial.cell.server == result.trial.cell.server]
        if served or any(earlier.valid for earlier in of_server):
            return
        raise ServerError(
            f"{self.bench.archive.name} answered no request: {'; '.join(result.problems)}",
            details=server.log_since(0),
        )
