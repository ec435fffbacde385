"""The program beside bare.py: a handler without a server, told by JSON lines what to repeat and for how long.

Several of these begin together and keep their load up until all of them have measured. What they are asked,
and what their answers add up to, lives in bare.py; what the model's work consists of in roofline.py.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from random import Random
from typing import Any

import psutil
import torch

WARM_UP_S = 0.5
MOST_ROWS = 512  # in all prepared batches together: images of 224 x 224 then take 300 MB
MOST_COUNTED = 64  # inputs of which the work is counted
# So large that more would be no faster, and far beyond every cache.
MATRIX_EDGE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = 256 * 2**20
SMALL_EDGE = 256  # of matrices where a product of large ones would take longer than the next line says
SLOWEST_PRODUCT_S = 4.0
DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}

Tell = Callable[[object], None]
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is repeated: `step(n)` does it for the n-th time; `steps_in_a_round` are all different ones.

    `amount` is what a step achieves: requests, floating-point operations or bytes moved.
    """

    step: Callable[[int], object]
    amount: float
    steps_in_a_round: int = 1


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    tell = _keep_stdout_for_answers()
    model = Model(asked["folder"], asked["gpu_id"], asked["bodies"], asked["seed"])
    makers = {"forward": forward_passes, "handled": handled_batches, "matmul": products, "copy": copies}
    while line := sys.stdin.readline():
        command = json.loads(line)
        if command["task"] == "count":
            from experiments.ceilings.work import count

            model.load(batch_size=1)
            tell(count(model.answer, [[(([body],), {})] for body in model.bodies[:MOST_COUNTED]]))
            continue
        if command["task"] in AT_ONCE:
            tell(AT_ONCE[command["task"]](model, command))
            continue
        begin_s = time.perf_counter()
        task = makers[command["task"]](model, command)
        _warm_up(task, until_s=begin_s + WARM_UP_S)
        repeat(task, command["duration_s"], tell)
        del task
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()  # for the next task, and for the processes beside this one


def repeat(task: Task, duration_s: float, tell: Tell) -> None:
    """A window of `duration_s` for every word to begin, each told; keeps the load up until told to stop."""
    tell("ready")
    while json.loads(sys.stdin.readline() or "null") == "begin":
        tell(_measure(task, duration_s))
        step = 0
        while not _is_called():
            task.step(step)
            step += 1


def _is_called() -> bool:
    """Whether a word or the end of standard input waits to be read."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def _measure(task: Task, duration_s: float) -> dict[str, float]:
    """Steps until `duration_s` have passed. Only whole rounds count, where there was one, so that each of
    several different batches counts the same. Nothing is said meanwhile but the end, which ends it too: it
    would else be killed with work on the GPU."""
    ends_s: list[float] = []
    begin_s = time.perf_counter()
    while not ends_s or (ends_s[-1] < duration_s and not _is_called()):
        task.step(len(ends_s))
        ends_s.append(time.perf_counter() - begin_s)
    counted = len(ends_s) // task.steps_in_a_round * task.steps_in_a_round or len(ends_s)
    return {"steps": counted, "amount": counted * task.amount, "window_s": ends_s[counted - 1]}


def _warm_up(task: Task, until_s: float) -> None:
    step = 0
    while time.perf_counter() < until_s and not _is_called():
        task.step(step)
        step += 1


def load(model: "Model", command: dict[str, Any]) -> dict[str, int | None]:
    """Loads the model for batches of up to `command["batch_size"]`, has it answer one, and tells what it
    sees and takes (`Loaded` of bare.py)."""
    model.load(command["batch_size"])
    model.batches(command["batch_size"])
    if model.gpu_id is None:
        return {"multiprocessors": None, "memory_bytes": psutil.Process().memory_info().rss}
    facts = torch.cuda.get_device_properties(model.gpu_id)
    reserved = torch.cuda.max_memory_reserved(model.gpu_id)
    return {"multiprocessors": facts.multi_processor_count, "memory_bytes": reserved}


def answers(model: "Model", command: dict[str, Any]) -> list[str]:
    """What the model says to each body, one at a time, in the order in which they were given."""
    model.load(batch_size=1)
    return [bytes(model.answer([body])[0]).decode() for body in model.given]


def latencies(model: "Model", command: dict[str, Any]) -> list[float]:
    """Milliseconds of each pass over batches of `command["batch_size"]`, by the model as it is loaded."""
    size = command["batch_size"]
    if size not in model.prepared:
        model.prepared[size] = model.batches(size)
    batches, forward = model.prepared[size], model.handler.forward
    took_ms: list[float] = []
    begin_s = time.perf_counter()
    while len(took_ms) < command["fewest"] or time.perf_counter() < begin_s + command["duration_s"]:
        step_s = time.perf_counter()
        for args, kwargs in batches[len(took_ms) % len(batches)]:
            forward(*args, **kwargs)
        took_ms.append((time.perf_counter() - step_s) * 1e3)
    return took_ms


AT_ONCE = {"load": load, "latencies": latencies, "answers": answers}

# The model: loaded as TorchServe's own worker does it, fed what a client would send.


class Model:
    """The archive's handler, loaded when it is needed, and the requests that it is to answer."""

    def __init__(self, folder: str, gpu_id: int | None, bodies: Sequence[tuple[str, str]], seed: int) -> None:
        self.folder = Path(folder)
        self.gpu_id = gpu_id
        # The order of the sweep's load generator, which shuffles with the same seed.
        self.given = bodies
        self.bodies = list(bodies)
        Random(seed).shuffle(self.bodies)
        self.service: Any = None
        self.prepared: dict[int, list[list[Call]]] = {}

    def load(self, batch_size: int) -> None:
        """Loads the handler as a worker does whose model is registered with this batch size.

        Handlers prepare themselves for that size; so each has a model of its own, the last one is dropped.
        """
        from ts.model_loader import TsModelLoader  # type: ignore[import-untyped]

        if self.service is not None and self.service.context.system_properties["batch_size"] == batch_size:
            return
        self.service = None
        manifest = json.loads((self.folder / "MAR-INF" / "MANIFEST.json").read_text("utf-8"))["model"]
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))  # before the repository: handlers/ is the archive's
            os.chdir(self.folder)
        self.service = TsModelLoader().load(
            manifest["modelName"], str(self.folder), manifest["handler"], self.gpu_id, batch_size
        )

    @property
    def handler(self) -> Any:
        """The instance of the handler's class; its `forward` gives results on the CPU."""
        handler = getattr(self.service._entry_point, "__self__", None)
        if not hasattr(handler, "forward"):
            sys.exit("its handler is no class with a method `forward`: there is no model to run alone")
        return handler

    def batches(self, size: int) -> list[list[Call]]:
        """What `forward` gets for each of `cuts`."""
        return [self.forward_calls(bodies) for bodies in self.cuts(size)]

    def cuts(self, size: int) -> list[list[tuple[str, str]]]:
        """Different batches of `size` requests, cut one after the other from the pool."""
        total = len(self.bodies)
        count = max(1, min(total // gcd(total, size), MOST_ROWS // size))
        return [[self.bodies[(n * size + i) % total] for i in range(size)] for n in range(count)]

    def forward_calls(self, bodies: Sequence[tuple[str, str]]) -> list[Call]:
        """What the handler passes to its own `forward` when it answers one batch of these requests.

        One call, or several where it splits a batch. Runs them too. Raises SystemExit where there is none.
        """
        handler, plain = self.handler, self.handler.forward
        calls: list[Call] = []

        def note(*args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            return plain(*args, **kwargs)

        handler.forward = note
        try:
            self.answer(bodies)
        finally:
            del handler.forward
        if not calls:
            sys.exit("its `handle` does not call its `forward`: there is no model to run alone")
        return calls

    def answer(self, bodies: Sequence[tuple[str, str]]) -> list[bytes]:
        """What the handler answers to one batch of these requests. Raises SystemExit where it refuses one."""
        rows = self.begin_batch(bodies)
        context = self.service.context
        answers: list[bytes] = self.handler.handle(rows, context)
        for index, answer in enumerate(answers):
            if context.get_response_status(index)[0] != 200:
                sys.exit(f"its handler refuses an input: {answer!r}")
        return answers

    def begin_batch(self, bodies: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
        """The rows that a worker would hand over, the context made ready for them."""
        from ts.context import RequestProcessor  # type: ignore[import-untyped]

        context = self.service.context
        context.request_ids = {index: str(index) for index in range(len(bodies))}
        context.request_processor = [RequestProcessor({"body": {"content-type": t}}) for t, _ in bodies]
        return [{"body": _as_torchserve_hands_it_over(t, Path(path).read_bytes())} for t, path in bodies]


def _as_torchserve_hands_it_over(content_type: str, body: bytes) -> object:
    """As ts.protocol.otf_message_handler does: text as str, JSON parsed, all else as bytearray."""
    if content_type == "application/json":
        return json.loads(body)
    return body.decode() if content_type.startswith("text") else bytearray(body)


def _keep_stdout_for_answers() -> Tell:
    """A function that prints a JSON line; what handlers print goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    return tell


# The tasks.


def forward_passes(model: Model, command: dict[str, Any]) -> Task:
    """The handler's forward pass over batches of `command["batch_size"]` requests."""
    model.load(command["batch_size"])
    batches = model.batches(command["batch_size"])
    forward = model.handler.forward

    def step(n: int) -> None:
        for args, kwargs in batches[n % len(batches)]:
            forward(*args, **kwargs)

    return Task(step, command["batch_size"], len(batches))


def handled_batches(model: Model, command: dict[str, Any]) -> Task:
    """All of the handler's work on batches of `command["batch_size"]` requests, in memory as a worker has
    them."""
    model.load(command["batch_size"])
    batches = [model.begin_batch(bodies) for bodies in model.cuts(command["batch_size"])]
    handle, context = model.handler.handle, model.service.context

    def step(n: int) -> None:
        handle(batches[n % len(batches)], context)

    return Task(step, command["batch_size"], len(batches))


def products(model: Model, command: dict[str, Any]) -> Task:
    """A product of two large matrices in `command["precision"]`: 2 n^3 floating-point operations."""
    device, dtype = _device(model), DTYPES[command["precision"]]
    torch.backends.cuda.matmul.allow_tf32 = command["precision"] == "tf32"
    edge = _matrix_edge(device, dtype)
    left, right = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
    multiply = _fastest(_ways_to_multiply(left, right))

    def step(n: int) -> None:
        multiply()
        _synchronise(device)

    return Task(step, 2.0 * edge**3)


def _matrix_edge(device: torch.device, dtype: torch.dtype) -> int:
    """Large, but not on a CPU without instructions for the precision: one product would take minutes."""
    large = MATRIX_EDGE[device.type]
    if device.type != "cpu":
        return large
    small = torch.ones(SMALL_EDGE, SMALL_EDGE, dtype=dtype)
    torch.mm(small, small)  # the first one is slow in any precision
    begin_s = time.perf_counter()
    torch.mm(small, small)
    would_take_s = (time.perf_counter() - begin_s) * (large / SMALL_EDGE) ** 3
    return large if would_take_s < SLOWEST_PRODUCT_S else SMALL_EDGE


def _ways_to_multiply(left: torch.Tensor, right: torch.Tensor) -> list[Callable[[], object]]:
    """torch's own product and, on a CPU, oneDNN's with one side laid out for it: on an AMD EPYC (Zen 4, one
    thread, fp32) 110 against 93 GFLOP/s, and tuned handlers use it."""
    out = torch.empty_like(left)
    ways: list[Callable[[], object]] = [lambda: torch.mm(left, right, out=out)]
    one_dnn = torch.ops.mkldnn
    # A build without the operators, or a CPU without instructions for the precision, has torch's way alone.
    if left.device.type == "cpu":
        with suppress(AttributeError, RuntimeError):
            packed = one_dnn._reorder_linear_weight(right, len(left))
            ways.append(lambda: one_dnn._linear_pointwise(left, packed, None, "none", [], "none"))
    return ways


def _fastest(ways: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """Each is tried three times in turn; the best time counts."""
    if len(ways) == 1:
        return ways[0]
    took_s = [float("inf")] * len(ways)
    for index, way in [*enumerate(ways)] * 3:
        begin_s = time.perf_counter()
        way()
        took_s[index] = min(took_s[index], time.perf_counter() - begin_s)
    return ways[took_s.index(min(took_s))]


def copies(model: Model, command: dict[str, Any]) -> Task:
    """A copy from one large buffer to another: every byte is read once and written once."""
    device = _device(model)
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)

    def step(n: int) -> None:
        target.copy_(source)
        _synchronise(device)

    return Task(step, 2.0 * COPY_BYTES)


def _device(model: Model) -> torch.device:
    return torch.device("cpu") if model.gpu_id is None else torch.device("cuda", model.gpu_id)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
