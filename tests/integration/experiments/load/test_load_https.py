"""A load over TLS, against Python's own TLS server: certificates are checked, and what is wrong is a line."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest
from typer.testing import CliRunner

from experiments.load import ClosedLoop, run
from experiments.load.__main__ import app

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        which("openssl") is None, reason="openssl makes the certificates: apt-get install openssl"
    ),
]


class Ok(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that is its own authority; its key lies beside it."""
    folder = tmp_path_factory.mktemp("tls")
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=a test"]
    subprocess.run(
        ["openssl", "req", "-x509", *options, "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "ca.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "ca.pem"


@pytest.fixture(scope="module")
def port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Ok) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_server_with_a_certificate_of_our_own_is_loaded(
    port: int, certificate: Path, processes: int
) -> None:
    load = ClosedLoop(2, duration_s=0.3)
    result = run(f"https://127.0.0.1:{port}/", [], load, processes=processes, ca=str(certificate))
    assert result.problems() == []
    assert result.requests > 10


def test_a_certificate_that_nobody_vouches_for_is_a_line(port: int) -> None:
    done = CliRunner().invoke(app, [f"https://127.0.0.1:{port}/"])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "is not trusted (self-signed certificate): give its authority's with --ca FILE" in done.output


def test_a_certificate_of_another_name_is_a_line(port: int, certificate: Path) -> None:
    done = CliRunner().invoke(app, [f"https://localhost:{port}/", "--ca", str(certificate)])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "not valid for 'localhost'" in done.output


def test_a_port_without_tls_is_a_line(certificate: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Ok) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = CliRunner().invoke(app, [f"https://127.0.0.1:{server.server_address[1]}/"])
        server.shutdown()
        thread.join()
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "check that this port speaks https" in done.output


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_wrong_usage(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    done = CliRunner().invoke(app, ["https://127.0.0.1:9/", "--ca", str(file)])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert f"--ca {file}: " in done.output
