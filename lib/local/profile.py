"""Where the time goes: a flame graph of warm deliveries, one of a start, and what it imports."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from lib.local import load, process
from lib.local.bench import MOVIE
from lib.local.build import LOCAL
from lib.local.modelriver import ModelRiver
from lib.local.postgres import Postgres
from lib.local.process import PartMissing
from lib.local.vercel import PATH, ROOT, Vercel

SPY = Path(sys.executable).with_name("py-spy")
COLD, WARM = LOCAL / "cold.svg", LOCAL / "warm.svg"
SECONDS = 10
SLOWEST = 12
"""Imports that are listed."""


def run() -> None:
    """Write both flame graphs below .local, and print which imports take longest."""
    if not SPY.exists():
        raise PartMissing("No py-spy: pip install -r requirements-dev.txt")
    LOCAL.mkdir(exist_ok=True)
    with ExitStack() as parts:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        river = parts.enter_context(ModelRiver())
        settings = {**river.settings, "DATABASE_URL": postgres.url()}
        for graph in (COLD, WARM):
            graph.unlink(missing_ok=True)
        spied = _spy("--rate", "1000", "--duration", "3", "--output", COLD, "--")
        with Vercel(settings, prefix=spied) as vercel:
            _deliver(vercel, river, 1)
            give_up_at = time.monotonic() + 20
            while not COLD.exists() and time.monotonic() < give_up_at:
                time.sleep(0.1)
        with Vercel(settings) as vercel:
            _deliver(vercel, river, 200)
            attached = _spy("--gil", "--duration", str(SECONDS), "--output", WARM)
            log = LOCAL / "py-spy.log"
            spy = process.start([*attached, "--pid", str(vercel.pid)], log=log)
            give_up_at = time.monotonic() + SECONDS + 20
            while spy.poll() is None and time.monotonic() < give_up_at:
                _deliver(vercel, river, 100)
    for graph in (COLD, WARM):
        if not graph.exists():
            raise RuntimeError(f"py-spy drew no {graph.name}; it may need more rights here")
    print(f"a start          {COLD.relative_to(ROOT)}")
    print(f"warm deliveries  {WARM.relative_to(ROOT)}\n")
    _print_imports(settings)


def _spy(*options: str | Path) -> list[str | Path]:
    return [SPY, "record", "--nonblocking", "--format", "flamegraph", *options]


def _deliver(vercel: Vercel, river: ModelRiver, count: int) -> None:
    requests = [load.request(PATH, river.sign(river.event(MOVIE))) for _ in range(count)]
    load.run([vercel.port], requests, 1)


def _print_imports(settings: dict[str, str]) -> None:
    """What the function imports besides what the runtime has imported by then."""
    before = "import urllib3, vercel_runtime.wait_until, vercel_runtime.workers, sys"
    code = f"{before}; sys.stderr.write('ours\\n'); import api.modelriver"
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stderr.partition("ours\n")[2].splitlines()]
    timed = sorted(((int(row[1]), row[2].strip()) for row in rows), reverse=True)
    longest = timed[0][0]
    for microseconds, name in timed[:SLOWEST]:
        print(f"{microseconds / 1000:7.1f} ms  {'█' * (40 * microseconds // longest):<40}  {name}")
