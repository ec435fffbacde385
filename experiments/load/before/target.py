"""The target of a load: a URL, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go: `path` is what stands in the request line, `authority` in the Host header."""

    host: str
    port: int
    path: str
    authority: str


def parse_target(url: str) -> Target:
    """Take an http:// URL apart. Raises ValueError when it is no URL that this generator can load."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(
            f"{url!r} is not a URL to load: give one like http://127.0.0.1:8080/predictions/bert"
        )
    if "@" in parts.netloc:
        raise ValueError(f"{url!r} holds a user name: send credentials as a header instead")
    try:
        port = 80 if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{url!r} has no usable port: give one from 1 to 65535")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?") if parts.query else ""
    return Target(parts.hostname, port, path + query, parts.netloc)
