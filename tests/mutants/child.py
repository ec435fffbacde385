"""What happens in a process of its own: the tests of a module, with a mutant in the module's place."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings

ROOT = Path(__file__).parents[2]
LEAST_CPU_S = 5.0  # that a mutant may take beside twice what the module itself takes
MOST_BYTES = 4 * 2**30  # that a mutant which never stops collecting may take


@dataclass(frozen=True)
class Suite:
    """The tests of the module at `path`: files, folders, or single tests as pytest names them. `seen` is how
    long each takes, and `cpu_s` the CPU time of all together."""

    path: str
    tests: Sequence[str]
    seen: Mapping[str, float] = field(default_factory=dict)
    cpu_s: float = 60.0

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def run_tests(suite: Suite, folder: Path, plugin: object, most_cpu_s: float) -> int:
    """pytest's exit code; what is printed is in `output` of `folder`, and nothing is left elsewhere."""
    folder.mkdir(parents=True)
    for stream in (0, 1, 2):
        path = os.devnull if stream == 0 else folder / "output"
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), stream)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    end_after_s(most_cpu_s)
    # -s: the files that pytest captures output in would be shared by its forks
    options = ["-x", "-q", "-s", "-p", "no:cacheprovider", f"--basetemp={folder / 'temporary'}"]
    ended = int(pytest.main([*options, *suite.tests], plugins=[plugin, _Settled()]))
    sys.stdout.flush()
    return ended


def end_after_s(cpu_s: float) -> None:
    """Ends this process after so much CPU time: however busy the machine is, an endless loop is noticed."""
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s), most))


def try_anew(suite: Suite, code: CodeType, folder: Path) -> int:
    """Runs the tests on a mutant that is imported in the module's place."""
    assert suite.module not in sys.modules, "the parent has imported what is to be mutated"
    sys.meta_path.insert(0, _Instead(suite.module, ROOT / suite.path, code))
    return run_tests(suite, folder, QuickestFirst(suite.seen), 2 * suite.cpu_s + LEAST_CPU_S)


def try_unchanged(suite: Suite, folder: Path) -> int:
    """Runs the tests on the module as it is, and tells in seen.json of `folder` how long each takes, and from
    which files modules came."""
    watch = _Watch()
    ended = run_tests(suite, folder, watch, 10 * suite.cpu_s + LEAST_CPU_S)
    files = {name: file for name, module in sys.modules.items() if (file := _file_of(module))}
    told = {"modules": files, "durations_s": watch.durations_s, "cpu_s": time.process_time()}
    (folder / "seen.json").write_text(json.dumps(told), encoding="utf-8")
    return ended


def _file_of(module: ModuleType) -> str | None:
    return getattr(module, "__file__", None)


class _Instead(MetaPathFinder, Loader):
    """Imports a module from code that is there, everything else as ever."""

    def __init__(self, module: str, path: Path, code: CodeType) -> None:
        self.module, self.path, self.code = module, path, code

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        return spec_from_file_location(fullname, self.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


class _Settled:
    """Property tests: the same examples each time, and no time spent on a nicer counterexample."""

    def pytest_sessionstart(self) -> None:
        settings.register_profile(
            "mutants",
            settings(),  # of tests/conftest.py
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        settings.load_profile("mutants")


class QuickestFirst:
    """Tests that are known to be quick go first: most mutants need no other."""

    def __init__(self, seen: Mapping[str, float]) -> None:
        self.seen = seen

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.seen.get(item.nodeid, 0.0))


class InTheLoopsPlace(QuickestFirst):
    """Hands over the collected tests, in place of running them."""

    def __init__(self, seen: Mapping[str, float], use: Callable[[pytest.Session], None]) -> None:
        super().__init__(seen)
        self.use = use

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.use(session)
        return True


class _Watch:
    def __init__(self) -> None:
        self.durations_s: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before_s = self.durations_s.get(report.nodeid, 0.0)
        self.durations_s[report.nodeid] = before_s + report.duration
