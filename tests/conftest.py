"""For all tests: surroundings that don't depend on who started them, no deadlines, and who runs with whom."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Property tests have no deadline, which on a busy machine would be a timed assertion. `make test-fast` loads
# the second: properties that don't say how many examples they need are tried with a few.
settings.register_profile("any-machine", deadline=None)
settings.register_profile("few-examples", deadline=None, max_examples=10)
settings.load_profile("any-machine")

# A script's `make test &` ignores Ctrl-C, `nohup make test` the end of the terminal, and so would every
# program that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# All servers of the tests are on this machine. Proxies stay for what is fetched from elsewhere.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))

# Programs that the tests start need not compile our modules anew, each for itself; nor need pytest the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# TorchServe's JVM lives for seconds here: the quick compiler and collector spare a second of each.
os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

# Several processes share the cores: torch's threads would wait for each other as long as they work.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    """Random weights are the same whichever tests ran before: what torch draws begins anew."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def forked() -> Iterator[None]:
    """Archives that the test builds are tried in a fork of its process."""
    from tests.support.forked_trials import forked_trials

    with forked_trials():
        yield


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a file's tests share stays in one process (--dist loadgroup); all else goes where there is room.

    The long ones come first, so that what is left in the end is short: those with real processes, which wait
    more than they work, then what is thorough; of both the single ones before those of a file.
    """
    for item in items:
        if _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(
        key=lambda item: (
            [not item.get_closest_marker(name) for name in ("integration", "thorough")]
            + [item.get_closest_marker("xdist_group") is not None]
        )
    )


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses a fixture that others of its file use too."""
    fixtures = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    return any(each.scope in ("class", "module") for found in fixtures.values() for each in found)
