"""The target of a load: a URL, taken apart, and the TLS that it asks for."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")  # a name or IPv4 address; an IPv6 address


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go: `path` is what stands in the request line, `authority` in the Host header.

    `ca` is the file of the certificates to trust instead of the system's, where the scheme is https.
    """

    host: str
    port: int
    path: str
    authority: str
    scheme: str = "http"
    ca: str | None = None

    @property
    def where(self) -> str:
        """The server, without path, to be told."""
        return f"{self.scheme}://{self.authority}"


def parse_target(url: str, ca: str | None = None) -> Target:
    """Take an http:// or https:// URL apart; a fragment is no part of a request and left out.

    Raises ValueError when it is no URL that this generator can load.
    """
    parts = _split(url)
    if "@" in parts.netloc:
        raise ValueError(f"{url!r} holds a user name: send credentials as a header instead")
    try:
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{url!r} has no usable port: give one from 1 to 65535")
    if ca is not None and parts.scheme != "https":
        raise ValueError(f"--ca is for https://, and {url!r} is not encrypted: drop it")
    host = _host(url, parts.hostname or "")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?") if parts.query else ""
    authority = (f"[{host}]" if ":" in host else host) + ("" if parts.port is None else f":{port}")
    return Target(host, port, path + query, authority, parts.scheme, ca)


def tls_of(target: Target) -> ssl.SSLContext | None:
    """How to encrypt; certificates are checked, by the system's authorities or by `ca`. None: not.

    Raises ValueError where `ca` can't be read.
    """
    if target.scheme != "https":
        return None
    try:
        context = ssl.create_default_context(cafile=target.ca)
    except OSError as error:  # an SSLError is one too
        why = (
            error.strerror if error.errno and not isinstance(error, ssl.SSLError) else "no certificate in it"
        )
        raise ValueError(f"--ca {target.ca}: {why}; give a file of certificates in PEM") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL to load: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            f"{url!r} is not a URL to load: give one like http://127.0.0.1:8080/predictions/bert"
        )
    return parts


def _host(url: str, host: str) -> str:
    """A name in the letters that the network knows. Raises ValueError."""
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):  # a zone such as %eth0 among them: it would be lost on the way
        raise ValueError(f"{url!r} is not a URL to load: its host is neither a name nor an address")
    return host
