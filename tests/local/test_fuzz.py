"""A little of what `make fuzz` does for as long as one likes."""

import subprocess
import sys

from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.process import PartMissing
from lib.local.trials import fuzz
from tests.support import missing


def test_no_mangled_delivery_no_mangled_request_and_no_history_is_an_error(
    pgbouncer: PgBouncer,
) -> None:
    """The session's PgBouncer is asked for only to skip where there is none."""
    try:
        fuzz.require()
    except PartMissing as reason:
        missing(reason)
    command = [sys.executable, "-m", "lib.local", "fuzz", "--seconds", "12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("number of executed units") == 2
    assert "histories played" in done.stdout
