"""How throughput, connections and errors grow with the instances, before one small PgBouncer."""

import time
from collections.abc import Sequence
from contextlib import ExitStack

from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import Vercel
from lib.local.trials import load

INSTANCES = (1, 2, 4, 8)
SERVER_CONNECTIONS = 20
AT_ONCE = 8
"""Deliveries under way in each instance."""
TITLES = (
    *("instances", "at once", "per second", "median", "slowest", "CPU: function"),
    *("PgBouncer", "Postgres", "connections", "not 200"),
)


def run(deliveries: int) -> int:
    """Print a row for each number of instances; 1 where a delivery was not answered 200."""
    broken = 0
    print("  ".join(f"{title:>13}" for title in TITLES))
    for count in INSTANCES:
        row, failed = _measure(count, deliveries)
        broken += failed
        print("  ".join(f"{cell:>13}" for cell in row), flush=True)
    return 1 if broken else 0


def _measure(count: int, deliveries: int) -> tuple[list[str], int]:
    with ExitStack() as parts:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        pgbouncer = parts.enter_context(PgBouncer(postgres, SERVER_CONNECTIONS))
        origin = f"http://127.0.0.1:{parts.enter_context(load.sink())}"
        river = ModelRiver()
        settings = {
            **river.settings,
            "MODELRIVER_CALLBACK_ORIGINS": origin,
            "DATABASE_URL": pgbouncer.url(),
        }
        instances = [parts.enter_context(Vercel(settings)) for _ in range(count)]

        def deliver(number: int) -> load.Load:
            requests = load.requests(river, number, origin=origin)
            return load.run([each.port for each in instances], requests, AT_ONCE * count)

        deliver(100 * count)
        spenders = ([each.pid for each in instances], pgbouncer.processes(), postgres.processes())
        before = [_cpu(pids) for pids in spenders]
        done = deliver(deliveries)
        time.sleep(0.2)  # what follows the answers
        spent = [_cpu(pids) - was for pids, was in zip(spenders, before, strict=True)]
        failed = done.statuses.total() - done.statuses[200]
        figures = [
            str(count),
            str(AT_ONCE * count),
            f"{done.throughput:.0f}",
            f"{done.quantile(0.5) * 1000:.0f} ms",
            f"{done.quantile(1) * 1000:.0f} ms",
            *(f"{each / deliveries * 1000:.2f} ms" for each in spent),
            str(pgbouncer.connections()),
            str(failed),
        ]
        return figures, failed


def _cpu(pids: Sequence[int]) -> float:
    return sum(load.cpu_seconds(pid) for pid in pids)
