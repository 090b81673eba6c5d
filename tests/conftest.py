"""The real parts that the tests stand on, each started once: Postgres, PgBouncer, the runtime.

A part that this machine lacks makes its tests skip and say so. With CI=true nothing may skip.
"""

import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from lib.local.commands.running import FOLDER
from lib.local.database import Connection, connect
from lib.local.project import LOCAL
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import Neon
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres, postgres_binaries
from lib.local.standins.process import PartMissing, free_port
from lib.local.standins.stack import Stack
from tests.support import assert_nothing_is_told, clone, missing

# A busy machine is no failure of the code's; each example is delivered under a channel of its own.
settings.register_profile(
    "busy",
    max_examples=50,  # more: make fuzz
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
# Whether a mutant is noticed must not change from one run to the next.
settings.register_profile(
    "mutants",
    settings.get_profile("busy"),
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("busy")

# A shell's background job ignores it, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


SKIP_REASON = r"No ([\w.]+): make parts"
SKIPPED = LOCAL / "skipped"
"""The line with which `make test` ends; empty where nothing was missing."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say for want of which parts tests were skipped."""
    reasons = [str(each.longrepr) for each in terminalreporter.stats.get("skipped", [])]
    parts = Counter(found[1] for each in reasons if (found := re.search(SKIP_REASON, each)))
    wanted = ", of ".join(f"{part}: {count}" for part, count in parts.items())
    said = f"Tests skipped for want of {wanted}. What brings them: make parts\n"
    LOCAL.mkdir(exist_ok=True)
    SKIPPED.write_text(said if parts else "")


@pytest.fixture
def console_port() -> Iterator[int]:
    """A port for the console of a `make dev`, which leaves nothing behind."""
    port = free_port()
    yield port
    shutil.rmtree(FOLDER / str(port), ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        postgres_binaries()
    except PartMissing as reason:
        missing(reason)
    with Postgres() as server:
        server.apply_schema()
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    try:
        pgbouncer_binary()
    except PartMissing as reason:
        missing(reason)
    with PgBouncer(postgres) as bouncer:
        yield bouncer


@pytest.fixture
def database(postgres: Postgres) -> str:
    """The name of a database of the test's own, with the schema in it."""
    return clone(postgres)


@pytest.fixture
def empty_database(postgres: Postgres) -> str:
    return clone(postgres, "template0")


@pytest.fixture
def rows(postgres: Postgres, database: str) -> Iterator[Connection]:
    """A direct connection to the test's own database."""
    with connect(postgres.url(database)) as connection:
        yield connection


@pytest.fixture(scope="session")
def modelriver() -> Iterator[ModelRiver]:
    with ModelRiver() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def stack(postgres: Postgres, pgbouncer: PgBouncer, modelriver: ModelRiver) -> Iterator[Stack]:
    """With an instance of the function, and a database of its own."""
    with Stack(modelriver, postgres, pgbouncer, database=clone(postgres)) as parts:
        parts.serve()
        yield parts
        assert_nothing_is_told(parts.vercel, modelriver)


@pytest.fixture(scope="session")
def neon() -> Iterator[Neon]:
    try:
        postgres_binaries()
    except PartMissing as reason:
        missing(reason)
    with Postgres() as postgres, Neon(postgres) as stand_in:
        stand_in.projects["another-project-00000002"] = "another"  # so each call must name one
        yield stand_in
