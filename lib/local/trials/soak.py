"""One instance, driven hard for long: does its memory stay flat, and what is its limit?"""

from contextlib import ExitStack

from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import ENTRYPOINT, Vercel
from lib.local.trials import load

AI_RESULT: Json = {"title": "t", "text": "x" * 500}
BURSTS = (1, 4, 16, 64, 128, 256, 512)


def run(deliveries: int, entrypoint: str = ENTRYPOINT) -> int:
    """Print memory, threads and sockets along the way, then what bursts of growing size get.

    Returns 1 where a delivery was not answered 200 in the soak, or nothing was answered in a burst.
    """
    with ExitStack() as parts:
        postgres = parts.enter_context(Postgres())
        postgres.apply_schema()
        pgbouncer = parts.enter_context(PgBouncer(postgres, server_connections=4))
        modelriver = parts.enter_context(ModelRiver())
        settings = {**modelriver.settings, "DATABASE_URL": pgbouncer.url()}
        vercel = parts.enter_context(Vercel(settings, entrypoint=entrypoint))
        broken = 0

        def deliver(count: int, at_once: int) -> load.Load:
            done = load.run(
                [vercel.port], load.requests(modelriver, count, ai_result=AI_RESULT), at_once
            )
            modelriver.callbacks.clear()
            vercel.messages.clear()
            return done

        titles = ("delivered", "per second", "CPU each", "memory", "threads", "sockets")
        print("  ".join(f"{title:>10}" for title in titles))
        step = max(1, deliveries // 10)
        for delivered in range(step, deliveries + 1, step):
            before = load.cpu_seconds(vercel.pid)
            done = deliver(step, 16)
            cpu = (load.cpu_seconds(vercel.pid) - before) / step * 1000
            broken += done.statuses.total() - done.statuses[200]
            held = f"{load.memory(vercel.pid) / 1e6:.1f} MB"
            figures = (
                f"{delivered:,}",
                f"{done.throughput:.0f}",
                f"{cpu:.1f} ms",
                held,
                str(load.threads(vercel.pid)),
                str(load.sockets(vercel.pid)),
            )
            print("  ".join(f"{figure:>10}" for figure in figures), flush=True)
        print(f"\n{'at once':>9}  {'answered':<24}  {'median':>8}  {'slowest':>8}")
        for burst in BURSTS:
            done = deliver(burst * 2, burst)
            answered = ", ".join(
                f"{n} times {status}" for status, n in sorted(done.statuses.items())
            )
            median, slowest = done.quantile(0.5), done.quantile(1)
            print(f"{burst:>9}  {answered:<24}  {median:>6.2f} s  {slowest:>6.2f} s", flush=True)
            broken += done.statuses[0]
        return 1 if broken else 0
