"""Latency, CPU, throughput and cold start, as ratios to the floor within one run.

All candidates run on the real Vercel runtime, before the same Postgres behind the same PgBouncer,
and call back to the same sink; in each round they take turns in random order, each in a new
process. The floor is `floor.py` beside this file: the same job stripped bare, keeping no promise.
"""

import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import ENTRYPOINT, ROOT, Vercel
from lib.local.trials import load
from lib.local.trials.plot import draw

WARM_UP, ONE_BY_ONE, AT_ONCE, BURST = 100, 500, 1000, 64
"""Deliveries of each part of a round."""
FLOOR, STRAIGHTFORWARD, OURS = "floor", "straightforward", "ours"
CANDIDATES = {
    FLOOR: "lib/local/trials/bench/floor.py",
    STRAIGHTFORWARD: "lib/local/trials/bench/straightforward.py",
    OURS: ENTRYPOINT,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one candidate in one round."""

    p50: float
    p99: float
    cpu_one: float
    cpu_many: float
    throughput: float
    slowest_many: float
    slowest_burst: float
    cold: float
    memory: float
    statements: float
    database_connections: float
    callback_connections: float
    failed: float


@dataclass(frozen=True, slots=True)
class Figure:
    """How a figure is shown, and the goal for ours: a ratio to the floor, or a figure."""

    title: str
    form: str
    goal: str


SHOWN = {
    "p50": Figure("one at a time, median", "{:.2f} ms", "at most 1.15"),
    "p99": Figure("one at a time, 99th percentile", "{:.2f} ms", "at most 1.5"),
    "cpu_one": Figure("CPU a delivery, one at a time", "{:.2f} ms", "at most 1.15"),
    "cpu_many": Figure("CPU a delivery, 16 at once", "{:.2f} ms", "at most 1.15"),
    "throughput": Figure("deliveries a second, 16 at once", "{:.0f}", "at least 0.9"),
    "slowest_many": Figure("slowest of 1,000, 16 at once", "{:.0f} ms", "500 ms"),
    "slowest_burst": Figure("slowest of 64 at once, from idle", "{:.0f} ms", "1,000 ms"),
    "cold": Figure("process start to first 200", "{:.0f} ms", "at most 1.2"),
    "memory": Figure("memory after 1,765 deliveries", "{:.1f} MB", "at most 1.3"),
    "statements": Figure("statements a delivery", "{:.2f}", "2"),
    "database_connections": Figure("new connections to the database, warm", "{:.0f}", "0"),
    "callback_connections": Figure("new connections to ModelRiver, warm", "{:.0f}", "0"),
    "failed": Figure("not answered 200", "{:.0f}", "0"),
}
AT_WORST = {"database_connections", "callback_connections", "failed"}
"""Of these the worst round is shown."""
PLOTTED = ("p50", "p99", "cpu_one", "cpu_many", "slowest_burst", "cold", "memory")


def run(rounds: int, *, as_json: bool, against: str | None, plot: bool) -> int:
    """Print a table, or JSON. `against` is a revision of this project to run as well.

    With `plot`, the picture for the README is drawn anew. Returns 1 where one of ours was not
    answered 200.
    """
    with ExitStack() as parts:
        bench = _Bench(parts)
        candidates = {name: (ROOT, entrypoint) for name, entrypoint in CANDIDATES.items()}
        if against:
            candidates[against] = (_checkout(against, parts), ENTRYPOINT)
        measured: dict[str, list[Figures]] = {name: [] for name in candidates}
        for number in range(rounds):
            for name in random.sample(list(candidates), len(candidates)):
                print(f"\rround {number + 1} of {rounds}: {name:<20}", end="", file=sys.stderr)
                measured[name].append(bench.measure(*candidates[name]))
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    medians = {name: _medians(each) for name, each in measured.items()}
    ratios = {name: _ratios(each, measured[FLOOR]) for name, each in measured.items()}
    circumstances = _circumstances(rounds)
    if as_json:
        print(json.dumps({**circumstances, "medians": medians, "ratios": ratios}))
    else:
        _print_table(circumstances, medians, ratios)
    if plot:
        compared = (OURS, STRAIGHTFORWARD)
        rows = {
            SHOWN[figure].title: [ratios[name][figure] or 0.0 for name in compared]
            for figure in PLOTTED
        }
        draw(rows, circumstances)
    return 1 if medians[OURS]["failed"] else 0


class _Bench:
    """What all candidates share."""

    def __init__(self, parts: ExitStack) -> None:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        self._pgbouncer = parts.enter_context(PgBouncer(postgres, server_connections=20))
        self._sink = parts.enter_context(load.sink())
        self._sink_state = HTTPConnection("127.0.0.1", self._sink)
        self._modelriver = ModelRiver()
        self._origin = f"http://127.0.0.1:{self._sink}"
        self._settings = {
            **self._modelriver.settings,
            "MODELRIVER_CALLBACK_ORIGINS": self._origin,
            "DATABASE_URL": self._pgbouncer.url(),
        }

    def measure(self, root: Path, entrypoint: str) -> Figures:
        """One round of one candidate, in a new process."""
        (first,) = self._requests(1)
        began = time.perf_counter()
        with Vercel(self._settings, root=root, entrypoint=entrypoint) as vercel:

            def deliver(count: int, at_once: int) -> tuple[load.Load, float]:
                """What came of it, and the CPU in seconds that each delivery took."""
                requests = self._requests(count)
                before = load.cpu_seconds(vercel.pid)
                done = load.run([vercel.port], requests, at_once)
                time.sleep(0.05)  # what follows the answers
                vercel.messages.clear()
                return done, (load.cpu_seconds(vercel.pid) - before) / count

            start = load.run([vercel.port], [first], 1)
            cold = time.perf_counter() - began
            deliver(WARM_UP, 4)
            before = self._state()
            one, cpu_one = deliver(ONE_BY_ONE, 1)
            statements, *opened = (
                now - was for now, was in zip(self._state(), before, strict=True)
            )
            deliver(WARM_UP, 16)
            many, cpu_many = deliver(AT_ONCE, 16)
            burst, _ = deliver(BURST, BURST)
            loads = (start, one, many, burst)
            return Figures(
                p50=one.quantile(0.5) * 1000,
                p99=one.quantile(0.99) * 1000,
                cpu_one=cpu_one * 1000,
                cpu_many=cpu_many * 1000,
                throughput=many.throughput,
                slowest_many=many.quantile(1) * 1000,
                slowest_burst=burst.quantile(1) * 1000,
                cold=cold * 1000,
                memory=load.memory(vercel.pid) / 1e6,
                statements=statements / ONE_BY_ONE,
                database_connections=opened[0],
                callback_connections=opened[1],
                failed=sum(each.statuses.total() - each.statuses[200] for each in loads),
            )

    def _requests(self, count: int) -> list[bytes]:
        return load.requests(self._modelriver, count, origin=self._origin)

    def _state(self) -> tuple[int, int, int]:
        """Statements, connections to the database, and connections to the sink, so far."""
        self._sink_state.request("GET", "/")
        taken = json.loads(self._sink_state.getresponse().read())["connections"]
        return self._pgbouncer.statements(), self._pgbouncer.connections(), taken


def _medians(rounds: list[Figures]) -> dict[str, float]:
    """The median of each figure; of what should be zero, the most."""
    chosen = {figure: max if figure in AT_WORST else statistics.median for figure in SHOWN}
    return {figure: chosen[figure](asdict(each)[figure] for each in rounds) for figure in SHOWN}


def _ratios(rounds: list[Figures], floor: list[Figures]) -> dict[str, float | None]:
    """The median of each round's ratio, so that a machine that grows slower takes no side."""
    pairs = [(asdict(each), asdict(base)) for each, base in zip(rounds, floor, strict=True)]
    return {
        figure: statistics.median(each[figure] / base[figure] for each, base in pairs)
        if all(base[figure] for _, base in pairs)
        else None
        for figure in SHOWN
    }


def _print_table(
    circumstances: Mapping[str, Json],
    medians: Mapping[str, Mapping[str, float]],
    ratios: Mapping[str, Mapping[str, float | None]],
) -> None:
    words = "{date}, {cores} cores, Python {python}, {rounds} rounds"
    print(words.format(**circumstances))
    print("Medians; behind them the ratio to the floor, and the goal for ours.\n")
    print(f"{'':<40}" + "".join(f"{name:>22}" for name in medians) + f"{'goal':>14}")
    for figure, shown in SHOWN.items():
        cells = []
        for name, values in medians.items():
            ratio = ratios[name][figure]
            cell = shown.form.format(values[figure])
            cells.append(cell if name == FLOOR or ratio is None else f"{cell} ({ratio:5.2f})")
        print(f"{shown.title:<40}" + "".join(f"{cell:>22}" for cell in cells) + f"{shown.goal:>14}")


def _circumstances(rounds: int) -> dict[str, Json]:
    """When and on what a run was made."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "rounds": rounds,
    }


def _checkout(revision: str, parts: ExitStack) -> Path:
    """The files of another revision, in a folder of their own."""
    folder = Path(parts.enter_context(TemporaryDirectory()))
    command = ["git", "archive", "--format=tar", revision, "api", "lib"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git knows no {revision} with a function in it")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
