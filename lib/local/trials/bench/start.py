"""What a start is made of: imports, by whose they are, and the steps of the first delivery."""

import json
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from lib.local.standins.vercel import Vercel
from lib.local.trials import load
from lib.local.trials.bench.far import Deployed
from lib.local.until import until

_IMPORT = re.compile(r"import time: +(\d+) \| +\d+ \| ((?:  )*)(\S+)")
"""A line of PYTHONPROFILEIMPORTTIME: microseconds of its own, depth, name; children come first."""
_RUNTIME = "Vercel's runtime"
_OWNERS = {
    "vercel_runtime": _RUNTIME,
    "psycopg": "psycopg and its pool",
    "psycopg_pool": "psycopg and its pool",
    "requests": "requests and urllib3",
    "urllib3": "requests and urllib3",
    "certifi": "requests and urllib3",
    "api": "the function itself",
    "lib": "the function itself",
}
"""Whose a package is; any other is of the one that imports it first."""


def measure(deployed: Deployed, rounds: int) -> dict[str, float]:
    """Milliseconds from a process's start to its first 200, by what they go to; medians."""
    seen = [_once(deployed) for _ in range(rounds)]
    return {part: statistics.median(each[part] for each in seen) for part in seen[0]}


def _once(deployed: Deployed) -> Mapping[str, float]:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", ""], check=True)
    bare = time.perf_counter()
    with Vercel({**deployed.settings(), "PYTHONPROFILEIMPORTTIME": "1"}) as vercel:
        listens = time.perf_counter()
        spent = _by_owner(vercel.output.splitlines())
        load.run([vercel.port], deployed.requests(1), 1)
        # Besides it, imports that are made now go to the log.
        (line,) = until(lambda: [line for line in vercel.log if line.startswith("{")])
    steps = json.loads(line)["ms"]
    spent["Python itself"] = (bare - began) * 1000
    spent["the rest, until it listens"] = (listens - bare) * 1000 - sum(spent.values())
    spent["first delivery: saved, connecting to Neon first"] = steps["save"]
    spent["first delivery: called back"] = steps["callback"]
    return spent


def _by_owner(lines: Iterable[str]) -> dict[str, float]:
    """Milliseconds of imports, by whose they are; without those of every Python."""
    spent: defaultdict[str, float] = defaultdict(float)
    owners: dict[int, str] = {}
    # Backwards, a module comes before those that it imports. The runtime's own is never done.
    for microseconds, indent, name in reversed(_IMPORT.findall("\n".join(lines))):
        depth = len(indent) // 2
        inherited = owners.get(depth - 1, _RUNTIME if depth else "")
        owners[depth] = _OWNERS.get(name.partition(".")[0], inherited)
        if owners[depth]:
            spent[owners[depth]] += int(microseconds) / 1000
    return spent
