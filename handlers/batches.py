"""A batch of rows, as TorchServe hands them over -> a list of answers: each row its own, good or bad.

What the handlers have in common around the model. Reading one row is payload.py's job.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any, Protocol, TypeVar

from handlers.payload import Payload, PayloadError, read

Item = TypeVar("Item")
Row = Mapping[str, object]


class Context(Protocol):
    """What the handlers use of `ts.context.Context`."""

    model_yaml_config: dict[str, Any] | None

    @property
    def system_properties(self) -> dict[str, Any]: ...
    def get_all_request_header(self, idx: int) -> dict[str, Any]: ...
    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None: ...
    def set_response_content_type(self, idx: int, value: str) -> None: ...


def answer(
    rows: Sequence[Row],
    context: Context,
    read_item: Callable[[object], Item],
    predict: Callable[[list[Item]], Sequence[object]],
    max_instances: int,
) -> list[object]:
    """Read every row, predict all good inputs of the batch in one call, and hand each row its own answer.

    A row that can't be read gets its own status and a body with the reason; the others don't notice.
    An exception of `predict` propagates: TorchServe then answers 503 to the whole batch.
    """
    payloads = [
        _read_or_refuse(row, read_item, max_instances, _content_types(context, index))
        for index, row in enumerate(rows)
    ]
    items = [item for payload in payloads if isinstance(payload, Payload) for item in payload.items]
    predictions = iter(predict(items) if items else ())
    return [
        _refusal(payload, context, index)
        if isinstance(payload, PayloadError)
        else _acceptance(payload.answer(list(islice(predictions, len(payload.items)))), context, index)
        for index, payload in enumerate(payloads)
    ]


def _read_or_refuse(
    row: Row, read_item: Callable[[object], Item], max_instances: int, content_types: Mapping[str, str]
) -> Payload[Item] | PayloadError:
    try:
        return read(row, read_item, max_instances, content_types)
    except PayloadError as error:
        return error


def _acceptance(body: object, context: Context, index: int) -> object:
    context.set_response_content_type(index, "application/json")
    return body


def _refusal(error: PayloadError, context: Context, index: int) -> dict[str, object]:
    """The same shape as TorchServe's own errors. The phrase is HTTP's: nothing of the client's goes there."""
    context.set_response_status(code=error.status, phrase=HTTPStatus(error.status).phrase, idx=index)
    context.set_response_content_type(index, "application/json")
    return {"code": error.status, "type": type(error).__name__, "message": error.reason}


def _content_types(context: Context, index: int) -> dict[str, str]:
    """Part name -> declared type. TorchServe keeps these among the request's headers, as small dicts."""
    headers = context.get_all_request_header(index)
    return {name: value["content-type"] for name, value in headers.items() if isinstance(value, dict)}
