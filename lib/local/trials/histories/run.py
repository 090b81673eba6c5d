"""Starts the parts, and plays histories for as long as one likes."""

import contextlib
import time
from collections.abc import Iterator

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from lib.local.project import LOCAL
from lib.local.standins.stack import Stack
from lib.local.trials.histories.destination import Destination
from lib.local.trials.histories.machine import CONSTRAINT, ENTRYPOINT, History

SETTINGS = settings(
    max_examples=200,
    stateful_step_count=25,
    deadline=None,
    # What failed is kept, and played first the next time.
    database=DirectoryBasedExampleDatabase(LOCAL / "histories"),
    phases=[Phase.reuse, Phase.generate, Phase.shrink],
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class _Over(KeyboardInterrupt):
    """The time is: told as an interrupt, which Hypothesis takes for no failure."""


@contextlib.contextmanager
def parts() -> Iterator[None]:
    """What histories are played on. Raises PartMissing or NotStarted."""
    with Destination() as destination, Stack(server_connections=4) as stack:
        stack.connection.execute(CONSTRAINT)
        stack.serve(ENTRYPOINT, MODELRIVER_CALLBACK_ORIGINS=destination.origin)
        History.stack, History.destination = stack, destination
        yield


def run(seconds: int) -> int:
    """Play until the time is over; how many histories there were.

    Where a promise is broken, raises what Hypothesis says of it, the shortest history among it.
    Raises PartMissing or NotStarted.
    """
    end_at = time.monotonic() + seconds
    played = 0

    class Bounded(History):
        def __init__(self) -> None:
            nonlocal played
            if time.monotonic() > end_at:
                raise _Over
            super().__init__()
            played += 1

    with parts(), contextlib.suppress(_Over):
        while True:
            run_state_machine_as_test(seed(time.time_ns())(Bounded), settings=SETTINGS)
    return played
