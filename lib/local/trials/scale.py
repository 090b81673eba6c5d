"""How throughput, connections and errors grow with the instances, before one small PgBouncer."""

import time

from lib.local.standins.stack import Stack
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
    with Stack(server_connections=SERVER_CONNECTIONS) as stack:
        origin = f"http://127.0.0.1:{stack.enter_context(load.sink())}"
        for _ in range(count):
            stack.serve(MODELRIVER_CALLBACK_ORIGINS=origin)

        def deliver(number: int) -> load.Load:
            requests = load.requests(stack.modelriver, number, origin=origin)
            return load.run([each.port for each in stack.instances], requests, AT_ONCE * count)

        deliver(100 * count)
        before = _spent(stack)
        done = deliver(deliveries)
        time.sleep(0.2)  # what follows the answers
        spent = [now - was for now, was in zip(_spent(stack), before, strict=True)]
        figures = [
            str(count),
            str(AT_ONCE * count),
            f"{done.throughput:.0f}",
            f"{done.quantile(0.5) * 1000:.0f} ms",
            f"{done.quantile(1) * 1000:.0f} ms",
            *(f"{each / deliveries * 1000:.2f} ms" for each in spent),
            str(stack.pgbouncer.connections()),
            str(done.failed),
        ]
        return figures, done.failed


def _spent(stack: Stack) -> list[float]:
    """Seconds of CPU so far: of the function, of PgBouncer, of Postgres."""
    instances = [each.pid for each in stack.instances]
    spenders = (instances, stack.pgbouncer.processes(), stack.postgres.processes())
    return [sum(map(load.cpu_seconds, pids)) for pids in spenders]
