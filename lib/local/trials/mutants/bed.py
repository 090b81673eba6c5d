"""Where mutants are tested: a copy of the project, and a process for each that starts warm."""

import compileall
import json
import multiprocessing
import os
import py_compile
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Self

import coverage
import pytest

from lib.local.problem import Problem
from lib.local.project import ROOT

_COPIED = ("api", "lib", "sql", "tests", "public", "pytest.ini", "vercel.json")
_WARM = [
    "pytest",
    "coverage",
    "hypothesis",
    "psycopg_pool",
    "requests",
    "responses",
    "trustme",
    "playwright",
]
"""What the tests import of others, which takes longer than many a test."""
_OPTIONS = (
    "-x",
    "-Wignore::pytest.PytestAssertRewriteWarning",
    "--hypothesis-profile=mutants",
    "-p",
    "no:xdist",
    "-p",
    "no:cacheprovider",
)

_spawn = multiprocessing.get_context("forkserver")
_spawn.set_forkserver_preload(_WARM)


class Bed:
    """A copy of the project, in which one file at a time is changed."""

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="mutants-", dir="/tmp"))
        for name in _COPIED:
            source, target = ROOT / name, self._folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        # By date and size, a file that changes twice a second would be taken for the same.
        by_hash = py_compile.PycInvalidationMode.CHECKED_HASH
        compileall.compile_dir(self._folder, quiet=2, invalidation_mode=by_hash)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, path: str) -> str:
        """A file as it was when it was copied."""
        return (self._folder / path).read_text()

    @property
    def output(self) -> str:
        """What the last tests said, in the end."""
        return (self._folder / "output.log").read_text(errors="replace")[-2000:]

    def passes(self, tests: Sequence[str], path: str, text: str, within: float) -> bool:
        """Whether all `tests` pass where the file at `path` reads so.

        False, too, where they take longer than `within` seconds.
        """
        file, kept = self._folder / path, self.read(path)
        file.write_text(text)
        try:
            return self._run(tests, within) == 0
        finally:
            file.write_text(kept)

    def reach(self, test: str, path: str) -> dict[int, list[str]]:
        """For the lines of the file at `path` the tests of a file that reach them, quickest first.

        What runs in a process of its own is not among them. Raises Problem where one fails.
        """
        if self._run([test], 600, reached=path) != 0:
            raise Problem(f"{test} fails without any mutant:\n{self.output}")
        found = json.loads((self._folder / "reach.json").read_text())
        return {int(line): tests for line, tests in found.items()}

    def _run(self, tests: Sequence[str], within: float, reached: str | None = None) -> int | None:
        arguments = (str(self._folder), [*_OPTIONS, *tests], reached)
        child = _spawn.Process(target=_test, args=arguments)
        child.start()
        child.join(within)
        if child.is_alive():
            child.kill()  # the stand-ins that it started end with it
            child.join()
        return child.exitcode


class _Reach:
    """A plugin of pytest's that notes which test reaches which line of a file."""

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).resolve())
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[path])
        # Where all that runs the file are processes of their own.
        self._coverage.set_option("run:disable_warnings", ["no-data-collected"])
        self._seconds: dict[str, float] = {}
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._coverage.switch_context(item.nodeid)
        began = time.monotonic()
        done = yield
        self._seconds[item.nodeid] = time.monotonic() - began
        return done

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        reached = self._coverage.get_data().contexts_by_lineno(self._path)
        tests = {
            line: sorted(self._seconds.keys() & contexts, key=self._seconds.__getitem__)
            for line, contexts in reached.items()
        }
        Path("reach.json").write_text(json.dumps(tests))


def _test(folder: str, arguments: list[str], reached: str | None) -> None:
    """What a child does: run tests of the copy, as a process that knows nothing else yet."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in [name for name in sys.modules if name.partition(".")[0] in {"api", "lib", "tests"}]:
        del sys.modules[name]
    os.chdir(folder)
    sys.path.insert(0, folder)
    os.environ["CI"] = "true"  # where nothing may be skipped
    with Path("output.log").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os._exit(pytest.main(arguments, [_Reach(reached)] if reached else []))
