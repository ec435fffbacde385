"""Who asks: each model at a constant rate, and malformed requests beside; every answer is looked at."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from benchmarks.long_run.answers import Model
from benchmarks.long_run.served import Served, is_of_an_old_token
from benchmarks.parts.malformed import Malformed, requests_of
from experiments.load import Body

TIMEOUT_S = 120.0
MOST_TOLD = 20


@dataclass(slots=True)
class Tally:
    """What came of all requests, filled in by several threads. `while_killed`: answers that failed while a
    worker of their model was killed and not yet back, which is expected. `told`: the first failures."""

    asked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    while_killed: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    unexpected: int = 0
    told: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, line: str, *, wrong: bool = False) -> None:
        """Counts an error that nothing explains, or a wrong answer."""
        with self.lock:
            self.wrong += wrong
            self.unexpected += not wrong
            if len(self.told) < MOST_TOLD:
                self.told.append(line)


@dataclass(slots=True)
class Killed:
    """When workers of a model were not there, by their killer: [(from, to)] on time.monotonic()'s clock."""

    spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def span(self, model: str) -> Iterator[None]:
        """What is inside is such a time."""
        with self.lock:
            spans = self.spans.setdefault(model, [])
            spans.append((time.monotonic(), float("inf")))
        try:
            yield
        finally:
            with self.lock:
                spans[-1] = (spans[-1][0], time.monotonic())

    def explains(self, model: str, begun_s: float, ended_s: float) -> bool:
        """Whether a request of that time met one."""
        with self.lock:
            return any(begun_s <= to and ended_s >= since for since, to in self.spans.get(model, ()))


def keep_asking(
    served: Served, model: Model, tally: Tally, killed: Killed, stop: threading.Event, seed: int
) -> None:
    """The model's requests in turns at its rate until `stop`; a late one makes none of the next ones late."""
    drawn = random.Random(seed)
    with _session() as session:

        def one() -> None:
            number = drawn.randrange(len(model.pool))
            begun_s = time.monotonic()
            status, answer = _ask(session, served, model.name, model.pool[number])
            with tally.lock:
                tally.asked[model.name] += 1
            if status == "200":
                if why := model.wrong(number, answer):
                    tally.fail(f"{model.name}: {why}", wrong=True)
                else:
                    with tally.lock:
                        tally.right[model.name] += 1
            elif killed.explains(model.name, begun_s, time.monotonic()):
                with tally.lock:
                    tally.while_killed[f"{model.name} {status}"] += 1
            else:
                tally.fail(f"{model.name}: {status}: {answer[:200].decode('utf-8', 'replace')}")

        _at_rate(model.rate_rps, stop, one)


def keep_asking_badly(
    served: Served,
    models: Sequence[Model],
    rate_rps: float,
    tally: Tally,
    killed: Killed,
    stop: threading.Event,
) -> None:
    """Malformed requests of each sort to each model in turn, which must get what they deserve."""
    turns = [(model.name, each) for model in models for each in requests_of(model.malformed)]
    count = 0
    with _session() as session:

        def one() -> None:
            nonlocal count
            name, malformed = turns[count % len(turns)]
            count += 1
            _one_bad(session, served, name, malformed, tally, killed)

        _at_rate(rate_rps, stop, one)


def ask_once(served: Served, name: str, model: Model, number: int, tally: Tally) -> None:
    """A request to the `model` that is registered under another name, in whose life nothing may fail."""
    with _session() as session:
        status, answer = _ask(session, served, name, model.pool[number % len(model.pool)])
    with tally.lock:
        tally.asked[name] += 1
    if status != "200":
        tally.fail(f"{name}: {status}: {answer[:200].decode('utf-8', 'replace')}")
    elif why := model.wrong(number % len(model.pool), answer):
        tally.fail(f"{name}: {why}", wrong=True)
    else:
        with tally.lock:
            tally.right[name] += 1


def _one_bad(
    session: requests.Session, served: Served, name: str, malformed: Malformed, tally: Tally, killed: Killed
) -> None:
    begun_s = time.monotonic()
    status, answer = _ask(session, served, name, malformed.body)
    with tally.lock:
        tally.malformed[f"{name}, {malformed.name}: {status}"] += 1
    if status in map(str, malformed.statuses):
        return
    if killed.explains(name, begun_s, time.monotonic()):
        with tally.lock:
            tally.while_killed[f"{name} {status}"] += 1
    else:
        said = answer[:200].decode("utf-8", "replace")
        tally.fail(f"{malformed.name} to {name}: {status}, not {malformed.statuses}: {said}")


def _ask(session: requests.Session, served: Served, name: str, body: Body) -> tuple[str, bytes]:
    """The status of an answer, or what kept it from coming, and its bytes. Tokens are renewed meanwhile: who
    was on the way with the old one asks again."""
    while True:
        token = served.authorization
        headers = {"Content-Type": body.content_type, "Authorization": token}
        try:
            answer = session.post(
                served.predict_url(name), data=body.data, headers=headers, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            return type(error).__name__, str(error).encode()
        key = token.removeprefix("Bearer ")
        if not is_of_an_old_token(answer) or not served.is_renewed("inference", key):
            return str(answer.status_code), answer.content


def _at_rate(rate_rps: float, stop: threading.Event, one: Callable[[], None]) -> None:
    due_s = time.monotonic()
    while not stop.wait(max(0.0, due_s - time.monotonic())):
        one()
        due_s = max(due_s + 1.0 / rate_rps, time.monotonic())


@contextmanager
def _session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the environment is not for loopback
        yield session
