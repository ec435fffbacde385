"""What a client without a token, or a page in the user's browser, can do to the ports of a real TorchServe
with the shipped configuration: nothing. What one with a token can have it load: archives of the store."""

import json
import os
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.integration.scripts.test_torchserve_command import torchserve as command
from tests.support.served_folder import a_folder, no_server_of, predict
from tests.support.small_archives import NOOP, archive

pytestmark = pytest.mark.integration

EVIL = "https://evil.example"
OF_INFERENCE = [
    ("POST", "/predictions/noop"),
    ("GET", "/predictions/noop"),
    ("PUT", "/predictions/noop"),
    ("POST", "/predictions/noop/1.0"),
    ("POST", "/explanations/noop"),
    ("POST", "/v1/models/noop:predict"),
    ("POST", "/v2/models/noop/infer"),
    ("POST", "/wfpredict/noop"),
    ("POST", "//predictions/noop"),
    ("POST", "/predictions/../predictions/noop"),
    ("POST", "/predictions/noop?token=x"),
]
OF_MANAGEMENT = [
    ("GET", "/models"),
    ("GET", "/models/noop"),
    ("GET", "/models/noop/all"),
    ("POST", "/models?url=noop.mar&model_name=again"),
    ("PUT", "/models/noop?min_worker=0&max_worker=0"),
    ("PUT", "/models/noop/1/set-default"),
    ("DELETE", "/models/noop"),
    ("GET", "/workflows"),
    ("POST", "/workflows?url=x.war"),
    ("DELETE", "/workflows/x"),
    ("GET", "/token?type=management"),
    ("GET", "/token?type=inference"),
]


@dataclass(frozen=True, slots=True)
class Running:
    """A server in its folder, its ports and its keys."""

    folder: Path
    ports: dict[str, int]
    keys: dict[str, str]

    def url(self, api: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self.ports[api]}{path}"

    def manage(self, method: str, path: str, **query: str) -> requests.Response:
        """As the owner does."""
        headers = {"Authorization": f"Bearer {self.keys['management']}"}
        url = self.url("management", path)
        return requests.request(method, url, params=query, headers=headers, timeout=30)

    def serves_as_before(self) -> bool:
        """The one model, with its one worker, answers."""
        told = self.manage("GET", "/models/noop").json()[0]
        listed = self.manage("GET", "/models").json()["models"]
        return (
            len(told["workers"]) == 1
            and [each["modelName"] for each in listed] == ["noop"]
            and predict(self.folder, self.ports).text == "ok"
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Started by the command, under a umask that leaves all files to everybody, as some containers have."""
    folder = tmp_path_factory.mktemp("served")
    ports = a_folder(folder)
    before = os.umask(0)
    try:
        done = command(folder, "--start")
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stdout
    told = json.loads((folder / "key_file.json").read_text("utf-8"))
    yield Running(folder, ports, {name: each["key"] for name, each in told.items()})
    command(folder, "--stop", "--foreground")
    assert no_server_of(folder)


@pytest.mark.parametrize(("method", "path"), OF_INFERENCE)
@pytest.mark.parametrize("token", ["", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer null"])
def test_nobody_predicts_without_a_token(server: Running, method: str, path: str, token: str) -> None:
    refused(server, "inference", method, path, {"Authorization": token} if token else {})


@pytest.mark.parametrize(("method", "path"), OF_MANAGEMENT)
def test_nobody_manages_without_a_token(server: Running, method: str, path: str) -> None:
    refused(server, "management", method, path, {})
    assert server.serves_as_before()


@pytest.mark.parametrize(("method", "path"), OF_MANAGEMENT)
def test_who_may_predict_may_not_manage(server: Running, method: str, path: str) -> None:
    refused(server, "management", method, path, {"Authorization": f"Bearer {server.keys['inference']}"})
    assert server.serves_as_before()


@pytest.mark.parametrize(("method", "path"), OF_MANAGEMENT)
def test_the_inference_port_manages_nothing(server: Running, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {server.keys['inference']}"}
    answer = requests.request(method, server.url("inference", path), headers=headers, timeout=30)
    assert answer.status_code >= 400 or "paths" in answer.text
    assert server.serves_as_before()


def refused(server: Running, api: str, method: str, path: str, headers: dict[str, str]) -> None:
    answer = requests.request(method, server.url(api, path), data=b"hi", headers=headers, timeout=30)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.text != "ok"


@pytest.mark.parametrize("api", ["inference", "management", "metrics"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost:1", ""])
def test_a_name_that_was_bound_anew_to_loopback_gets_no_further(server: Running, api: str, host: str) -> None:
    """DNS rebinding: the browser takes the port for a part of the page's site, and sends what the page says;
    the token is what the page does not have."""
    for method, path in (("POST", "/predictions/noop"), ("POST", "/models?url=noop.mar&model_name=b")):
        answer = requests.request(
            method, server.url(api, path), data=b"hi", headers={"Host": host}, timeout=30
        )
        assert answer.status_code >= 400
    assert server.serves_as_before()


@pytest.mark.parametrize("api", ["inference", "management", "metrics"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_no_other_site_is_allowed_anything(server: Running, api: str, method: str) -> None:
    headers = {
        "Origin": EVIL,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for path in ("/predictions/noop", "/models", "/ping", "/metrics", "/"):
        answer = requests.request(method, server.url(api, path), headers=headers, timeout=30)
        assert [each for each in answer.headers if each.lower().startswith("access-control")] == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""]
)
def test_what_a_page_may_send_without_asking_first_does_nothing(server: Running, content_type: str) -> None:
    """A form, an image, `fetch(…, {mode: "no-cors"})`: no preflight, and no Authorization either."""
    headers = {"Origin": EVIL, "Referer": f"{EVIL}/", "Content-Type": content_type, "Cookie": "a=b"}
    for api, path in (
        ("inference", "/predictions/noop"),
        ("management", "/models?url=noop.mar&model_name=b&initial_workers=1"),
    ):
        answer = requests.post(server.url(api, path), data=b"data=hi", headers=headers, timeout=30)
        assert 400 <= answer.status_code < 500
    assert server.serves_as_before()


def test_what_is_told_without_a_token_is_counters_and_a_description(server: Running) -> None:
    """TorchServe 0.12.0 asks for no token there: docs/threats.md. No token and no content is in either."""
    told = [
        requests.get(server.url("metrics", "/metrics"), timeout=10),
        requests.get(server.url("inference", "/api-description"), timeout=10),
        requests.get(server.url("management", "/api-description"), timeout=10),
    ]
    assert [each.status_code for each in told] == [200, 200, 200]
    assert not [key for each in told for key in server.keys.values() if key in each.text]


# Of gRPC: a method, and a message of it, which for a prediction is the model's name (field 1).
GRPC = {
    "grpc_inference": [
        ("org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions", b"\n\x04noop"),
        ("org.pytorch.serve.grpc.inference.InferenceAPIsService/StreamPredictions", b"\n\x04noop"),
    ],
    "grpc_management": [
        ("org.pytorch.serve.grpc.management.ManagementAPIsService/ListModels", b""),
        ("org.pytorch.serve.grpc.management.ManagementAPIsService/DescribeModel", b"\n\x04noop"),
        ("org.pytorch.serve.grpc.management.ManagementAPIsService/UnregisterModel", b"\n\x04noop"),
    ],
}
EVERY_GRPC = [(api, method, message) for api, methods in GRPC.items() for method, message in methods]


@pytest.mark.parametrize(("api", "method", "message"), EVERY_GRPC, ids=[each[1] for each in EVERY_GRPC])
@pytest.mark.parametrize("token", ["", "Bearer x"])
def test_grpc_wants_a_token(server: Running, api: str, method: str, message: bytes, token: str) -> None:
    told = asked_by_grpc(server.url(api, f"/{method}"), message, token)
    assert "grpc-status: 0" not in told, told
    assert "grpc-status: " in told, told
    assert server.serves_as_before()


def test_grpc_answers_who_has_it(server: Running) -> None:
    """Else the refusals above would prove nothing."""
    ((method, message), *_) = GRPC["grpc_management"]
    url = server.url("grpc_management", f"/{method}")
    told = asked_by_grpc(url, message, f"Bearer {server.keys['management']}")
    assert "grpc-status: 0" in told, told
    assert '"models"' in told


def asked_by_grpc(url: str, message: bytes, token: str) -> str:
    """Headers, content and trailers of the answer, in small letters."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here, so gRPC is NOT tested: apt-get install curl")
    headers = ["content-type: application/grpc", "te: trailers", f"authorization: {token}"]
    done = subprocess.run(
        ["curl", "-s", "-i", "--http2-prior-knowledge", "--data-binary", "@-", "--max-time", "20"]
        + [each for header in headers for each in ("-H", header)]
        + [url],
        input=b"\x00" + len(message).to_bytes(4, "big") + message,
        capture_output=True,
    )
    return done.stdout.decode("utf-8", "replace").lower()


def test_all_five_ports_listen_on_loopback_alone(server: Running) -> None:
    listening = {each.laddr.port: each.laddr.ip for each in _listeners(server)}
    assert set(server.ports.values()) <= set(listening)
    assert {ip.removeprefix("::ffff:") for ip in listening.values()} == {"127.0.0.1"}


def _listeners(server: Running) -> list[Any]:
    (pid_file,) = server.folder.glob("torchserve-*/.model_server.pid")
    frontend = psutil.Process(int(pid_file.read_text()))
    family = [frontend, *frontend.children(recursive=True)]
    return [
        each for one in family for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN
    ]


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[bytes]]]:
    """A port where nobody should ask, and what was asked there."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hear() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        asked.append(connection.recv(1000))

        threading.Thread(target=hear, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", asked


def test_with_a_token_no_url_is_fetched(server: Running, elsewhere: tuple[str, list[bytes]]) -> None:
    where, asked = elsewhere
    urls = [f"{scheme}://{where}/evil.mar" for scheme in ("http", "HTTP", "https", "ftp")]
    urls += [f"http://{where}/file:///dev/null", f"http://file:@{where}/dev/null", f"http:{where}/x.mar"]
    urls += ["s3://bucket/evil.mar", f"s3://bucket@{where}/x.mar", f"jar:http://{where}/x.mar!/"]
    for url in urls:
        answer = server.manage("POST", "/models", url=url)
        assert answer.status_code >= 400, url
    assert asked == []
    assert server.serves_as_before()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that would be served, beside the store."""
    return archive(tmp_path_factory.mktemp("outside"), "evil", NOOP)


def test_with_a_token_no_archive_outside_the_store_is_loaded(server: Running, outside: Path) -> None:
    store = server.folder / "model_store"
    relative = os.path.relpath(outside, store)
    urls = [
        str(outside),
        relative,
        f"./{relative}",
        f"file://{outside}",
        f"file:{outside}",
        f"FILE://{outside}",
    ]
    urls += [
        f"file:///dev/null/../..{outside}",
        f"file:///dev/null/..{outside}",
        f"file:///dev/null%2F..{outside}",
    ]
    urls += [
        f"noop.mar/../{relative}",
        f"..%2f{relative}",
        relative.replace("/", "\\"),
        f"file://{store}/noop.mar",
    ]
    for url in urls:
        answer = server.manage("POST", "/models", url=url, initial_workers="1", synchronous="true")
        assert answer.status_code >= 400, url
    assert server.serves_as_before()


def test_with_a_token_an_archive_of_the_store_is_loaded_and_removed(server: Running) -> None:
    """Else the refusals above would prove nothing."""
    answer = server.manage("POST", "/models", url="noop.mar", model_name="again", initial_workers="1")
    assert answer.status_code in (200, 202), answer.text
    assert server.manage("DELETE", "/models/again").status_code == 200
    assert server.serves_as_before()


def test_keys_and_sockets_are_the_users_own_whatever_the_umask(server: Running) -> None:
    assert mode(server.folder / "key_file.json") == 0o600
    (own,) = server.folder.glob("torchserve-*")
    assert mode(own) == 0o700
    assert [path.name for path in own.glob(".ts.sock.*")]


def test_no_token_is_in_a_log_or_on_a_command_line(server: Running) -> None:
    texts = [path.read_text("utf-8", errors="replace") for path in (server.folder / "logs").rglob("*.log")]
    texts += [" ".join(each.cmdline()) for each in psutil.process_iter() if _readable(each)]
    for key in server.keys.values():
        assert not [text for text in texts if key in text]


def _readable(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.cmdline())
    return False


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
