"""Where the time goes: a flame graph of warm deliveries, and what a start imports."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lib.local import load, process
from lib.local.build import LOCAL
from lib.local.modelriver import ModelRiver
from lib.local.postgres import Postgres
from lib.local.process import PartMissing
from lib.local.vercel import ROOT, Vercel

SPY = Path(sys.executable).with_name("py-spy")
GRAPH = LOCAL / "warm.svg"
SECONDS = 10
SLOWEST = 12
"""Imports that are listed."""


def run() -> None:
    """Write the flame graph below .local, and print which imports take longest."""
    if not SPY.exists():
        raise PartMissing("No py-spy: pip install -r requirements-dev.txt")
    LOCAL.mkdir(exist_ok=True)
    with ExitStack() as parts:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        river = parts.enter_context(ModelRiver())
        settings = {**river.settings, "DATABASE_URL": postgres.url()}
        vercel = parts.enter_context(Vercel(settings))
        _print_imports(settings)
        _draw(vercel, river)
    print(f"\nwarm deliveries: {GRAPH.relative_to(ROOT)}, to be opened in a browser")


def _draw(vercel: Vercel, river: ModelRiver) -> None:
    """A graph of who held the interpreter while deliveries came. Raises RuntimeError."""
    GRAPH.unlink(missing_ok=True)
    _deliver(vercel, river, 200)
    log = LOCAL / "py-spy.log"
    options = ["--gil", "--nonblocking", "--duration", f"{SECONDS}", "--output", f"{GRAPH}"]
    spy = process.start([SPY, "record", *options, "--pid", str(vercel.pid)], log=log)
    give_up_at = time.monotonic() + SECONDS + 20
    try:
        while spy.poll() is None and time.monotonic() < give_up_at:
            _deliver(vercel, river, 100)
    finally:
        process.stop(spy, signal.SIGKILL)
    if not GRAPH.exists():
        raise RuntimeError(f"py-spy drew nothing:\n{log.read_text()[-500:]}")


def _deliver(vercel: Vercel, river: ModelRiver, count: int) -> None:
    load.run([vercel.port], load.requests(river, count), 1)


def _print_imports(settings: Mapping[str, str]) -> None:
    """A chart of what the function imports besides what the runtime imports anyway."""
    before = "import urllib3, vercel_runtime.wait_until, vercel_runtime.workers, sys"
    code = f"{before}; sys.stderr.write('ours\\n'); import api.modelriver"
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise RuntimeError(f"the function cannot be imported:\n{done.stderr[-500:]}")
    rows = [line.split("|") for line in done.stderr.partition("ours\n")[2].splitlines()]
    timed = sorted(((int(row[1]), row[2].strip()) for row in rows), reverse=True)
    longest, _ = timed[0]
    for microseconds, name in timed[:SLOWEST]:
        print(f"{microseconds / 1000:7.1f} ms  {'█' * (40 * microseconds // longest):<40}  {name}")
