"""What happens in a process of its own: the tests of a module, with a mutant in the module's place."""

import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, Phase, settings

MOST_BYTES = 4 * 2**30  # that a mutant which never stops collecting may take


def run(
    module: str,
    path: Path,
    code: CodeType | None,
    tests: Sequence[str],
    folder: Path,
    seen: Mapping[str, float],
) -> NoReturn:
    """Ends this process with pytest's exit code. `code` None is the module itself: its tests are timed, and
    what they import is told, in seen.json of `folder`. Tests go quickest first, as they were `seen`."""
    os.setsid()
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull if stream == 0 else folder / "output", os.O_RDWR | os.O_CREAT), stream)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    if code is not None:
        assert module not in sys.modules, "the parent has imported what is to be mutated"
        sys.meta_path.insert(0, _Instead(module, path, code))
    watch = _Watch(seen)
    ended = 3
    try:
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder / 'temporary'}"]
        ended = int(pytest.main([*options, *tests], plugins=[watch]))
        if code is None:
            files = {name: module.__file__ for name, module in sys.modules.items() if _has_file(module)}
            told = {"modules": files, "durations_s": watch.durations_s}
            (folder / "seen.json").write_text(json.dumps(told), encoding="utf-8")
    finally:
        sys.stdout.flush()
        os._exit(ended)


def _has_file(module: ModuleType) -> bool:
    return getattr(module, "__file__", None) is not None


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


class _Watch:
    """A plugin of pytest: quick tests first, no time spent on a nicer counterexample, durations noted."""

    def __init__(self, seen: Mapping[str, float]) -> None:
        self.seen = seen
        self.durations_s: dict[str, float] = {}

    def pytest_sessionstart(self) -> None:
        settings.register_profile(
            "mutants",
            settings.get_profile("any machine"),
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self.seen.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before_s = self.durations_s.get(report.nodeid, 0.0)
        self.durations_s[report.nodeid] = before_s + report.duration
