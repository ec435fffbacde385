"""The bodies of requests, and the ways in which a file can be one: as it is, in a form, in JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace

from experiments.plan.defaults import INPUT_STYLES

FIELD = "data"  # under which handlers look for their input


@dataclass(frozen=True, slots=True)
class Body:
    """One element of the pool of different inputs: the bytes of a request and their media type.

    `name` is that of the file it came from, empty where it came from none.
    """

    data: bytes
    content_type: str
    name: str = ""


def styled(body: Body, style: str) -> Body:
    """A file's `body` in one of INPUT_STYLES: as it is, as the upload `data` of a form, like curl -F
    data=@FILE, or as JSON, {"data": ...}, holding a JSON file's value, a text, or base64 of anything else.

    Raises ValueError for another style, and where a file of JSON holds none.
    """
    if style == "body":
        return body
    if style == "form":
        return _as_form(body)
    if style == "json":
        document = json.dumps({FIELD: _as_value(body)}).encode()
        return replace(body, data=document, content_type="application/json")
    raise ValueError(
        f"{style!r} is no way to send a file: use {', '.join(INPUT_STYLES[:-1])} or {INPUT_STYLES[-1]}"
    )


def _as_form(body: Body) -> Body:
    boundary = hashlib.sha256(body.data).hexdigest()  # no file holds the hash of itself
    name = body.name.encode("utf-8", "surrogateescape")
    for sign, written in ((b'"', b"%22"), (b"\r", b"%0D"), (b"\n", b"%0A")):
        name = name.replace(sign, written)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{FIELD}"; filename="'.encode()
        + (name or b"input")
        + f'"\r\nContent-Type: {body.content_type}\r\n\r\n'.encode()
    )
    data = head + body.data + f"\r\n--{boundary}--\r\n".encode()
    return replace(body, data=data, content_type=f"multipart/form-data; boundary={boundary}")


def _as_value(body: Body) -> object:
    if body.content_type.startswith("application/json"):
        try:
            value: object = json.loads(body.data)
        except ValueError as error:
            raise ValueError(f"{body.name or 'the body'} is not JSON: {error}") from error
        return value
    try:
        return body.data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body.data).decode()
