"""A request as the bytes that go over the wire: rendered once, sent again and again."""

from __future__ import annotations

import re
from collections.abc import Mapping

from experiments.load.before.body import Body
from experiments.load.before.target import Target

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_VALUE = re.compile(r"[\r\n\0]")
_FRAMING = {"content-length", "transfer-encoding"}


def render_request(target: Target, body: Body | None, headers: Mapping[str, str]) -> bytes:
    """The whole request as bytes: a POST of `body`, or a GET when it is None.

    `headers` add to the generator's own and replace them whatever their case. Raises ValueError for a header
    that HTTP does not allow, or that contradicts the length of the body.
    """
    fields = {"host": f"Host: {target.authority}", "user-agent": "User-Agent: experiments.load"}
    if body is not None:
        fields["content-type"] = f"Content-Type: {body.content_type}"
        fields["content-length"] = f"Content-Length: {len(body.data)}"
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _NOT_IN_A_VALUE.search(value) or not value.isascii():
            raise ValueError(f"{name!r}: {value!r} is not a header: give 'Name: value' in one line of ASCII")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name} follows from the body: leave it out")
        fields[name.lower()] = f"{name}: {value.strip()}"
    method = "GET" if body is None else "POST"
    head = "\r\n".join([f"{method} {target.path} HTTP/1.1", *fields.values(), "", ""])
    return head.encode("ascii") + (b"" if body is None else body.data)
