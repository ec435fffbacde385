"""A batch of rows, as TorchServe hands them over -> a list of answers: each row its own, good or bad.

What the handlers have in common around the model. Reading one row is payload.py's job.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from http import HTTPStatus
from itertools import islice
from time import perf_counter_ns
from typing import Any, Protocol, TypeVar

from handlers.request.declared import Medium, content_types
from handlers.request.payload import Limits, Payload, read
from handlers.request.refusal import PayloadError
from handlers.request.tally import Tally

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Scores = TypeVar("Scores")
Row = Mapping[str, object]
Told = Payload[Item] | PayloadError

# Applies a function to each row, in order: the built-in `map`, or that of a pool of threads.
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

NOBODY_ELSE = nullcontext()


_in_json = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one for each answer


class Context(Protocol):
    """What the handlers use of `ts.context.Context`."""

    model_yaml_config: dict[str, Any] | None

    @property
    def system_properties(self) -> dict[str, Any]: ...
    def get_all_request_header(self, idx: int) -> dict[str, Any]: ...
    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None: ...
    def set_response_content_type(self, idx: int, value: str) -> None: ...


class Handler(Protocol[Item, Prepared, Scores]):
    """The steps of a handler, each usable alone: what a client sent -> an item; n items -> what the model
    takes, on its device; that -> scores on the CPU, n rows; scores -> n answers, as bytes where they are
    JSON already. `medium` is what clients may send."""

    @property
    def medium(self) -> Medium: ...
    def read_item(self, value: object) -> Item: ...
    def preprocess(self, items: list[Item]) -> Prepared: ...
    def forward(self, prepared: Prepared) -> Scores: ...
    def postprocess(self, scores: Scores) -> Sequence[object]: ...


def answer(
    handler: Handler[Item, Prepared, Scores],
    rows: Sequence[Row],
    context: Context,
    limits: Limits,
    tally: Tally,
    each: Map = map,
    turns: AbstractContextManager[None] = NOBODY_ELSE,
) -> list[bytes]:
    """Read every row, predict all good inputs of the batch in one call, and hand each row its own JSON. The
    forward pass waits for its turn.

    A row that can't be read gets its own status and a body with the reason; the others don't notice.
    An exception of a later step propagates: TorchServe then answers 503 to the whole batch.
    """
    begun_ns = perf_counter_ns()
    read_row = partial(_read_or_refuse, handler.read_item, limits, handler.medium)
    headers = map(context.get_all_request_header, range(len(rows)))
    payloads: list[Told[Item]] = list(each(read_row, zip(rows, headers, strict=True)))
    items = [item for payload in payloads if isinstance(payload, Payload) for item in payload.items]
    predictions: Sequence[object] = ()
    prepared_ns = forwarded_ns = perf_counter_ns()
    if items:
        prepared = handler.preprocess(items)
        prepared_ns = perf_counter_ns()
        with turns:
            scores = handler.forward(prepared)
        forwarded_ns = perf_counter_ns()
        predictions = handler.postprocess(scores)
    answers = _answers(payloads, predictions, context)
    handle_ns = perf_counter_ns() - begun_ns
    tally.add(len(rows), prepared_ns - begun_ns, forwarded_ns - prepared_ns, handle_ns)
    return answers


def _read_or_refuse(
    read_item: Callable[[object], Item],
    limits: Limits,
    medium: Medium,
    row_and_headers: tuple[Row, Mapping[str, Any]],
) -> Told[Item]:
    row, headers = row_and_headers
    try:
        return read(row, read_item, limits, medium, content_types(headers, row))
    except PayloadError as error:
        return error


def _answers(payloads: Sequence[Told[Item]], predictions: Sequence[object], context: Context) -> list[bytes]:
    """The predictions, one for each item of all payloads in order -> the body of each row's answer."""
    left = iter(predictions)
    bodies = []
    for index, payload in enumerate(payloads):
        context.set_response_content_type(index, "application/json")
        if isinstance(payload, PayloadError):
            bodies.append(_to_json(_refusal(payload, context, index)))
        else:
            bodies.append(_body(payload, list(islice(left, len(payload.items)))))
    return bodies


def _body(payload: Payload[Item], predictions: Sequence[object]) -> bytes:
    """One prediction an item, of some handlers already JSON -> the JSON that the client expects."""
    encoded = [prediction for prediction in predictions if isinstance(prediction, bytes)]
    if not encoded:
        return _to_json(payload.answer(predictions))
    if payload.form == "single":
        return encoded[0]
    listed = b"[" + b",".join(encoded) + b"]"
    return listed if payload.form == "list" else b'{"predictions":' + listed + b"}"


def _to_json(body: object) -> bytes:
    """Left to TorchServe, it would be indented, by the slow half of Python's encoder."""
    return _in_json(body).encode()


def _refusal(error: PayloadError, context: Context, index: int) -> object:
    """The same shape as TorchServe's own errors. The phrase is HTTP's: nothing of the client's goes there."""
    context.set_response_status(code=error.status, phrase=HTTPStatus(error.status).phrase, idx=index)
    return {"code": error.status, "type": type(error).__name__, "message": error.reason}
