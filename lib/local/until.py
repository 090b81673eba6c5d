"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable


def until[T](condition: Callable[[], T], within: float = 5.0, every: float = 0.01) -> T:
    """Ask until the answer is true, for `within` seconds and at least once. Returns the last one.

    So `if not until(…)` and `assert until(…)` tell whether it came to that. `every` so many seconds
    it is asked.
    """
    give_up_at = time.monotonic() + within
    while not (answer := condition()) and time.monotonic() < give_up_at:
        time.sleep(every)
    return answer
