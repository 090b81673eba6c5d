"""Says what is being waited for, where somebody looks."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator


@contextlib.contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """After a second, a line on standard error that counts the seconds, and goes when it is over.

    Where standard error is no terminal, nothing is written.
    """
    over = threading.Event()

    def count() -> None:
        began = time.monotonic()
        while not over.wait(1.0):
            print(
                f"\r… {what}, {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True
            )

    if not sys.stderr.isatty():
        yield
        return
    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        over.set()
        counter.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
