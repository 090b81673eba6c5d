"""Latency, CPU, throughput and cold start, as ratios to the floor within one run.

All candidates run on the real Vercel runtime, before the same Postgres behind the same PgBouncer,
and call back to the same sink; in each round they take turns in random order, each in a new
process. The floor is `floor.py` beside this file: the same job stripped bare, keeping no promise.
"""

import json
import os
import platform
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.jsontext import Json
from lib.local.problem import Problem
from lib.local.project import ROOT
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import ENTRYPOINT, Vercel
from lib.local.trials import load
from lib.local.trials.bench import start
from lib.local.trials.bench.candidates import CANDIDATES, FLOOR, OURS, STRAIGHTFORWARD
from lib.local.trials.bench.far import FAR, NEAR, Deployed, Distance
from lib.local.trials.bench.figures import (
    SHOWN,
    SHOWN_AWAY,
    Figures,
    medians,
    print_parts,
    print_table,
    ratios,
)
from lib.local.trials.plot import draw

WARM_UP, ONE_BY_ONE, AT_ONCE, BURST = 100, 500, 1000, 64
"""Deliveries of each part of a round."""
COMPARED = (OURS, STRAIGHTFORWARD)

type Measured = dict[str, list[Figures]]
"""By candidate, its figures of each round."""


def run(rounds: int, *, as_json: bool, against: str | None, plot: bool) -> int:
    """Print tables, or JSON. `against` is a revision of this project to run as well.

    With `plot`, the picture for the README is drawn anew. Returns 1 where one of ours was not
    answered 200. Raises Problem.
    """
    away: dict[Distance, Measured] = {}
    starts: dict[str, Figures] = {}
    with ExitStack() as parts:
        candidates = {name: (ROOT, entrypoint) for name, entrypoint in CANDIDATES.items()}
        if against:
            candidates[against] = (_checkout(against, parts), ENTRYPOINT)
        for distance in (NEAR, FAR):
            with ExitStack() as stand_ins:
                deployed = Deployed(stand_ins, distance)
                away[distance] = _measure(rounds, candidates, deployed.measure)
                starts[distance.name] = start.measure(deployed, rounds)
        with ExitStack() as beside:
            here = _measure(rounds, candidates, _Bench(beside).measure)
    circumstances = _circumstances(rounds)
    if as_json:
        _print_json({**circumstances, "starts": starts}, here, away)
    else:
        _print_tables(circumstances, here, away)
        print("\nWhat a start of ours is made of, in milliseconds; medians")
        print_parts(starts)
    if plot:
        draw(_plotted(away), circumstances)
    ours = [*here[OURS], *(each for measured in away.values() for each in measured[OURS])]
    return 1 if any(each["failed"] for each in ours) else 0


def _measure(
    rounds: int,
    candidates: Mapping[str, tuple[Path, str]],
    measure: Callable[[Path, str], Figures],
) -> Measured:
    """Each candidate's figures of each round; they take turns in random order."""
    measured: Measured = {name: [] for name in candidates}
    for number in range(rounds):
        for name in random.sample(list(candidates), len(candidates)):
            print(f"\rround {number + 1} of {rounds}: {name:<20}", end="", file=sys.stderr)
            measured[name].append(measure(*candidates[name]))
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return measured


def _print_tables(
    circumstances: Mapping[str, Json], here: Measured, away: Mapping[Distance, Measured]
) -> None:
    print("{date}, {cores} cores, Python {python}, {rounds} rounds".format(**circumstances))
    print("Medians; behind them the ratio to the floor, and the goal for ours.")
    for distance, measured in away.items():
        print(f"\nTLS; {distance}")
        print_table(measured, SHOWN_AWAY)
    print("\nBeside each other, without TLS")
    print_table(here)


def _print_json(
    circumstances: Mapping[str, object], here: Measured, away: Mapping[Distance, Measured]
) -> None:
    tables = {"beside each other": (here, SHOWN)}
    tables |= {str(distance): (measured, SHOWN_AWAY) for distance, measured in away.items()}
    told = {
        title: {
            name: {"medians": medians(each, shown), "ratios": ratios(each, table[FLOOR], shown)}
            for name, each in table.items()
        }
        for title, (table, shown) in tables.items()
    }
    print(json.dumps({**circumstances, **told}))


def _plotted(away: Mapping[Distance, Measured]) -> dict[str, list[float]]:
    """What the README's picture shows of ours and of the straightforward version."""
    rows = {}
    for distance, measured in away.items():
        for figure in ("warm", "first", "start"):
            title = f"{distance.name}: {SHOWN_AWAY[figure].title}"
            rows[title] = [_ratio(measured, name, figure) for name in COMPARED]
    return rows


def _ratio(measured: Measured, name: str, figure: str) -> float:
    return ratios(measured[name], measured[FLOOR], SHOWN_AWAY)[figure] or 0.0


class _Bench:
    """What all candidates share."""

    def __init__(self, parts: ExitStack) -> None:
        self._stack = parts.enter_context(Stack(server_connections=20))
        self._sink = parts.enter_context(load.sink())
        self._sink_state = HTTPConnection("127.0.0.1", self._sink)
        self._origin = f"http://127.0.0.1:{self._sink}"
        self._settings = {**self._stack.settings, "MODELRIVER_CALLBACK_ORIGINS": self._origin}

    def measure(self, root: Path, entrypoint: str) -> Figures:
        """One round of one candidate, in a new process."""
        first = self._requests(1)
        began = time.perf_counter()
        with Vercel(self._settings, root=root, entrypoint=entrypoint) as vercel:
            start = load.run([vercel.port], first, 1)
            cold = time.perf_counter() - began
            self._deliver(vercel, WARM_UP, 4)
            before = self._state()
            one, cpu_one = self._deliver(vercel, ONE_BY_ONE, 1)
            statements, to_database, to_callback = (
                now - was for now, was in zip(self._state(), before, strict=True)
            )
            self._deliver(vercel, WARM_UP, 16)
            many, cpu_many = self._deliver(vercel, AT_ONCE, 16)
            burst, _ = self._deliver(vercel, BURST, BURST)
            return {
                "p50": one.quantile(0.5) * 1000,
                "p99": one.quantile(0.99) * 1000,
                "cpu_one": cpu_one * 1000,
                "cpu_many": cpu_many * 1000,
                "throughput": many.throughput,
                "slowest_many": many.quantile(1) * 1000,
                "slowest_burst": burst.quantile(1) * 1000,
                "cold": cold * 1000,
                "memory": load.memory(vercel.pid) / 1e6,
                "statements": statements / ONE_BY_ONE,
                "database_connections": to_database,
                "callback_connections": to_callback,
                "failed": sum(each.failed for each in (start, one, many, burst)),
            }

    def _deliver(self, vercel: Vercel, count: int, at_once: int) -> tuple[load.Load, float]:
        """What came of it, and the CPU in seconds that each delivery took."""
        requests = self._requests(count)
        before = load.cpu_seconds(vercel.pid)
        done = load.run([vercel.port], requests, at_once)
        time.sleep(0.05)  # what follows the answers
        vercel.messages.clear()
        return done, (load.cpu_seconds(vercel.pid) - before) / count

    def _requests(self, count: int) -> list[bytes]:
        return load.requests(self._stack.modelriver, count, origin=self._origin)

    def _state(self) -> tuple[int, int, int]:
        """Statements, connections to the database, and connections to the sink, so far."""
        self._sink_state.request("GET", "/")
        taken = json.loads(self._sink_state.getresponse().read())["connections"]
        pgbouncer = self._stack.pgbouncer
        return pgbouncer.statements(), pgbouncer.connections(), taken


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
        raise Problem(f"git knows no {revision} with a function in it")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
