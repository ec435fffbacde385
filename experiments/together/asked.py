"""What each model of a plan is asked, and what is right: checked before any figure is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.answers.compare import TOLERANCE
from experiments.base.errors import ServerError, UsageError
from experiments.bench.archive import archive_of, archive_precision, provenance_of
from experiments.bench.inputs import pool_for, spread
from experiments.load import Body, ClosedLoop, LoadResult, run
from experiments.servers import parity
from experiments.servers.dialects import AnswerError, Input, Prediction, worst_difference
from experiments.servers.served import Running
from experiments.serving.registration import Registration
from experiments.together.plan import Served

MOST_INPUTS = 32
IN_FLIGHT = 16  # while a server settles


@dataclass(frozen=True, slots=True)
class Asked:
    """A model, its archive, different inputs, and what its handler alone predicts for each of them,
    in the same precision: batches may change a probability by `tolerance`."""

    model: Served
    archive: Path
    inputs: Sequence[Input]
    right: Sequence[Prediction]
    tolerance: float = parity.TOLERANCE

    @property
    def registration(self) -> Registration:
        """As every server is told of it."""
        model = self.model
        return Registration(
            self.archive, model.workers, model.batch_size, model.batch_delay_ms, name=model.name
        )

    def bodies(self, server: Running) -> list[Body]:
        """A request for each input, as this server wants it."""
        return [server.dialect.body(each) for each in self.inputs]

    def wrong(self, server: Running, found: LoadResult) -> int:
        """How many of the answers that were kept are not right, those that can't be read among them."""
        assert found.answers is not None
        return sum(
            count
            for number, answers in found.answers.of.items()
            for answer, count in answers.items()
            if not self._is_right(server, number, answer)
        )

    def _is_right(self, server: Running, number: int, answer: bytes) -> bool:
        try:
            said = server.dialect.read(answer)
        except AnswerError:
            return False
        return worst_difference([self.right[number]], [said]) <= self.tolerance


def asked(model: Served, threads: int) -> Asked:
    """The inputs of a model and its handler's own predictions. Raises UsageError for an archive that is
    missing or not one of `make mar`, ExperimentError where its handler does not answer."""
    archive = archive_of(model.archive)
    kind = provenance_of(archive).kind
    if kind == "unknown":
        raise UsageError(f"{model.name}: other servers serve archives of `make mar`, and {archive} is none")
    pool = pool_for(kind, model.input, model.tokens, archive)
    inputs = [_input(body, kind, model.name) for body in spread(pool, MOST_INPUTS)]
    tolerance = TOLERANCE[archive_precision(archive)]
    return Asked(model, archive, inputs, parity.direct(archive, inputs, threads), tolerance)


def checked(server: Running, one: Asked, settling_s: float) -> float:
    """The largest difference of a probability, or of a vector's number, each input alone and then in batches,
    under a load that does not count and has the server settle. Raises ParityError, or ServerError where the
    load fails."""
    name = one.model.name
    alone = parity.check(server, one.inputs, one.right, name, one.tolerance)
    load = ClosedLoop(IN_FLIGHT, duration_s=settling_s)
    found = run(server.predict_url(name), one.bodies(server), load, headers=server.headers, keep_answers=True)
    refused = sum(count for status, count in found.statuses.items() if not 200 <= status < 300)
    if refused or found.lost_connections:  # how long it took for a batch doesn't matter here
        raise ServerError(f"{server.server} does not serve {name}: {found.problems()[0]}", server.log())
    assert found.answers is not None
    said = {n: [server.dialect.read(each) for each in given] for n, given in found.answers.of.items()}
    return max(alone, parity.judged(server, one.right, said, one.tolerance))


def _input(body: Body, kind: str, name: str) -> Input:
    if kind == "image":
        return body.data
    try:
        return body.data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{name}: {body.name} is no text in UTF-8: give files of texts") from None
