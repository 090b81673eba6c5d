"""Mutants against the tests: which are noticed, which are not, and which nobody could notice."""

import hashlib
import json
import random
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lib.local.project import LOCAL, ROOT
from lib.local.trials.mutants.bed import Bed
from lib.local.trials.mutants.mutation import Change, Mutant, mutants

PURE = ("signature", "event", "content", "jsontext", "settings")
"""Rooms whose tests start nothing."""
ROOMS = {
    str(path.relative_to(ROOT)): path.stem
    for path in [*sorted(ROOT.glob("lib/*.py")), *sorted(ROOT.glob("api/*.py"))]
    if path.stem != "__init__"
}
"""By the path of each file of the function's, its name."""
TESTED_BY = {
    "callback": ["callback", "callback_connection"],
    "callback_connection": ["callback_connection", "callback"],
    "errors": ["webhook", "modelriver"],
    "database_connection": ["database_connection", "database", "webhook"],
    "modelriver": ["modelriver", "runtime"],
}
"""Whose tests a room's are, where they are not those of its own name alone."""
STACK = tuple(f"tests/stack/test_{name}.py" for name in ("answers", "deliveries", "stranger"))
"""What a mutant that its room's own tests did not notice is put before."""
FIRST = 12
"""Tests that reach a mutant's line and are put first: mostly one of them fails, and all is said."""
SESSION = LOCAL / "mutants.jsonl"
EQUIVALENT = Path(__file__).with_name("equivalent.toml")

type Key = tuple[str, str, str]


@dataclass(slots=True)
class Findings:
    """What a run has found."""

    killed: int = 0
    survivors: list[Mutant] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    """Entries of the list of equivalent mutants that are wrong, and why."""


def equivalents() -> dict[Key, str]:
    """The mutants that behave as the function does, each with its reason."""
    listed = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {
        (each["path"], before, after): each["reason"]
        for each in listed
        for before, after in each["changes"]
    }


def run(
    paths: Sequence[str],
    *,
    sample: int | None,
    own_tests_only: bool,
    listed_too: bool,
    on_progress: Callable[[int, int, Findings], None],
    on_survivor: Callable[[Mutant], object],
) -> Findings:
    """Test all mutants of these files, or of each as many as `sample` says, the same every time.

    What was killed before, as the same text of a file, is not tested again, unless in a sample;
    nor what is listed as equivalent, without `listed_too`. Raises Problem where the tests fail
    without any change.
    """
    findings, reasons = Findings(), equivalents()
    session = Session(None if sample else SESSION)
    some: Callable[[list[Change]], list[Change]] = partial(_some, sample) if sample else list
    with Bed() as bed:
        made = {path: mutants(path, bed.read(path), some) for path in paths}
        if not sample:
            findings.stale += gone(made, reasons)
        total, done = sum(map(len, made.values())), 0
        for path, each in made.items():
            tests = own_tests(path) if own_tests_only else [*own_tests(path), *STACK]
            judge = _Judge(bed, tests, session)
            for mutant in each:
                is_listed = mutant.key in reasons
                noticed = (listed_too or not is_listed) and judge.notices(mutant)
                if noticed and is_listed:
                    findings.stale.append(f"{mutant}: a test notices it")
                elif noticed:
                    findings.killed += 1
                elif not is_listed:
                    findings.survivors.append(mutant)
                    on_survivor(mutant)
                done += 1
                on_progress(done, total, findings)
    return findings


def gone(made: Mapping[str, Sequence[Mutant]], listed: Iterable[Key]) -> list[str]:
    """What is listed of these files, and is not one of their mutants, or more than one."""
    known = Counter(mutant.key for each in made.values() for mutant in each)
    return [
        f"{path}: {before} => {after}: {known[path, before, after]} mutants are so"
        for path, before, after in listed
        if path in made and known[path, before, after] != 1
    ]


def own_tests(path: str) -> list[str]:
    name = ROOMS[path]
    return [f"tests/function/test_{each}.py" for each in TESTED_BY.get(name, [name])]


def _some(count: int, changes: list[Change]) -> list[Change]:
    return random.Random(0).sample(changes, min(count, len(changes)))


class _Judge:
    """Puts a file's mutants before its tests: those that reach its line first, and then all."""

    def __init__(self, bed: Bed, tests: Sequence[str], session: "Session") -> None:
        self._bed, self._tests, self._session = bed, tests, session
        self._known: dict[str, tuple[float, dict[int, list[str]]]] = {}

    def notices(self, mutant: Mutant) -> bool:
        return self._session.was_killed(mutant) or any(
            self._is_killed_by(test, mutant) for test in self._tests
        )

    def _is_killed_by(self, test: str, mutant: Mutant) -> bool:
        within, reached = self._know(test, mutant.path)
        quickest = reached.get(mutant.line, [])[:FIRST]
        for tests in (quickest, [test]):
            if tests and not self._bed.passes(tests, mutant.path, mutant.text, within):
                self._session.kill(mutant, test)
                return True
        return False

    def _know(self, test: str, path: str) -> tuple[float, dict[int, list[str]]]:
        """Seconds after which the tests hang, and which reach what: run once, without a change."""
        if test not in self._known:
            began = time.monotonic()
            reached = self._bed.reach(test, path)
            self._known[test] = 20 + 4 * (time.monotonic() - began), reached
        return self._known[test]


class Session:
    """Which mutants were killed; kept from one run to the next, where there is a path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._killed = {str(json.loads(line)["digest"]) for line in self._lines()}

    def was_killed(self, mutant: Mutant) -> bool:
        return _digest(mutant) in self._killed

    def kill(self, mutant: Mutant, test: str) -> None:
        digest = _digest(mutant)
        self._killed.add(digest)
        said = {"digest": digest, "by": test, "line": mutant.line, "after": mutant.after}
        if self._path:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("a") as file:
                file.write(json.dumps(said) + "\n")

    def _lines(self) -> Iterator[str]:
        if self._path and self._path.exists():
            yield from self._path.read_text().splitlines()


def _digest(mutant: Mutant) -> str:
    return hashlib.sha256(f"{mutant.path}\n{mutant.text}".encode()).hexdigest()
