"""What is settled before a load's first connection: URLs, and what this machine has room for."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments.bench import Bench
from experiments.load import ClosedLoop, LimitError, OpenLoop, run
from experiments.load.__main__ import app
from experiments.load.before.limits import check_limits, local_ports
from experiments.load.before.target import parse_target
from experiments.measure import measure
from experiments.plan import Plan


@pytest.fixture
def allowed_files() -> Iterator[int]:
    """A limit of 256 file descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("http://[::1]:81/", "::1", 81, "[::1]:81"),
        ("http://[2001:DB8::1]/", "2001:db8::1", 80, "[2001:db8::1]"),
        ("https://h/", "h", 443, "h"),
        ("HTTPS://H:8443/", "h", 8443, "h:8443"),
        ("http://h:/", "h", 80, "h"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example"),
        ("http://my_host.svc.cluster.local/", "my_host.svc.cluster.local", 80, "my_host.svc.cluster.local"),
    ],
)
def test_a_url_names_host_port_and_authority(url: str, host: str, port: int, authority: str) -> None:
    target = parse_target(url)
    assert (target.host, target.port, target.authority) == (host, port, authority)


def test_a_fragment_is_no_part_of_a_request() -> None:
    assert parse_target("http://h/a?b=c#d").path == "/a?b=c"


@pytest.mark.parametrize(
    "url",
    ["http://[::1/", "http://::1/", "http://[fe80::1%25eth0]/", "http://u@h/", "http://u:p@[::1]/",
     "http://a b/", "http://h:80:81/", "http://h:-1/", "http://h\x00/", "ftp://h/", "//h/", "http:///p", "http://[]/",
     "http://h:x/"],
)  # fmt: skip
def test_what_is_no_url_to_load_is_refused_in_a_line(url: str) -> None:
    done = CliRunner().invoke(app, [url])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert any(word in done.output for word in ("is not a URL to load", "user name", "no usable port"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--connections", "1000000"], "as many local ports"),
        (["--connections", "1000000", "--processes", "1000"], "as many local ports"),
        (["--connections", "300"], "332 file descriptors of a process, and 256 are allowed"),
        (["--rate", "10"], "file descriptors"),  # it may take its 512 connections
        (["--rate", "1e12", "--connections", "5"], "GiB of memory"),
        (["--connections", "28000", "--processes", "28000"], "file descriptors"),
        (["--ca", "/nowhere"], "--ca is for https://"),
    ],
)
def test_what_this_machine_has_no_room_for_is_refused_in_a_line(
    allowed_files: int, options: list[str], said: str
) -> None:
    done = CliRunner().invoke(app, ["http://127.0.0.1:9/", *options])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert said in done.output


def test_several_processes_share_the_file_descriptors(allowed_files: int) -> None:
    check_limits(300, processes=2)
    with pytest.raises(LimitError, match="ulimit -n"):
        check_limits(300)


def test_many_processes_are_a_matter_of_memory() -> None:
    with pytest.raises(LimitError, match="GiB of memory"):
        check_limits(5000, processes=5000)


def test_the_ports_of_this_machine_are_known_on_linux() -> None:
    assert 1000 < (local_ports() or 0) < 65536


@pytest.mark.parametrize("load", [ClosedLoop(10**6, duration_s=1), OpenLoop(1, 1, max_in_flight=10**6)])
def test_a_load_from_python_is_refused_too(load: ClosedLoop | OpenLoop) -> None:
    with pytest.raises(LimitError):
        run("http://127.0.0.1:9/", [], load)


def test_a_sweep_is_refused_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="1,000,000 connections"):
        measure(Plan(concurrency=(10**6,)), Bench(tmp_path / "none.mar", []), tmp_path / "out")
    assert not (tmp_path / "out").exists()
