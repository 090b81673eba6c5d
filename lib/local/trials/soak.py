"""One instance, driven hard for long: does its memory stay flat, and what is its limit?"""

from lib.jsontext import Json
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import ENTRYPOINT
from lib.local.trials import load

AI_RESULT: Json = {"title": "t", "text": "x" * 500}
BURSTS = (1, 4, 16, 64, 128, 256, 512)


def run(deliveries: int, entrypoint: str = ENTRYPOINT) -> int:
    """Print memory, threads and sockets along the way, then what bursts of growing size get.

    Returns 1 where a delivery was not answered 200 in the soak, or nothing was answered in a burst.
    """
    with Stack(server_connections=4) as stack:
        stack.serve(entrypoint)
        return 1 if _soak(stack, deliveries) + _burst(stack) else 0


def _soak(stack: Stack, deliveries: int) -> int:
    """How many were not answered 200."""
    failed, pid = 0, stack.vercel.pid
    titles = ("delivered", "per second", "CPU each", "memory", "threads", "sockets")
    print("  ".join(f"{title:>10}" for title in titles))
    step = max(1, deliveries // 10)
    for delivered in range(step, deliveries + 1, step):
        before = load.cpu_seconds(pid)
        done = _deliver(stack, step, 16)
        failed += done.failed
        figures = (
            f"{delivered:,}",
            f"{done.throughput:.0f}",
            f"{(load.cpu_seconds(pid) - before) / step * 1000:.1f} ms",
            f"{load.memory(pid) / 1e6:.1f} MB",
            str(load.threads(pid)),
            str(load.sockets(pid)),
        )
        print("  ".join(f"{figure:>10}" for figure in figures), flush=True)
    return failed


def _burst(stack: Stack) -> int:
    """How many were not answered at all."""
    unanswered = 0
    print(f"\n{'at once':>9}  {'answered':<24}  {'median':>8}  {'slowest':>8}")
    for burst in BURSTS:
        done = _deliver(stack, burst * 2, burst)
        answered = ", ".join(f"{n} times {status}" for status, n in sorted(done.statuses.items()))
        median, slowest = done.quantile(0.5), done.quantile(1)
        print(f"{burst:>9}  {answered:<24}  {median:>6.2f} s  {slowest:>6.2f} s", flush=True)
        unanswered += done.statuses[0]
    return unanswered


def _deliver(stack: Stack, count: int, at_once: int) -> load.Load:
    requests = load.requests(stack.modelriver, count, ai_result=AI_RESULT)
    done = load.run([stack.vercel.port], requests, at_once)
    stack.modelriver.callbacks.clear()
    stack.vercel.messages.clear()
    return done
