"""The real parts that the tests stand on, each started once: Postgres, PgBouncer, the runtime.

A part that this machine lacks makes its tests skip and say so. With CI=true nothing may skip.
"""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.rows import DictRow, dict_row

from lib.local.console import Console
from lib.local.desk import Desk
from lib.local.modelriver import ModelRiver
from lib.local.postgres import PgBouncer, Postgres, pgbouncer_binary, postgres_binaries
from lib.local.process import PartMissing
from lib.local.redelivery import Redelivery
from lib.local.vercel import ROOT, Vercel

# A busy machine is no failure of the code's; each example is delivered under a channel of its own.
settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("busy")

# A shell's background job ignores it, and so would every process that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

type Connection = psycopg.Connection[DictRow]


def missing(reason: PartMissing) -> Never:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (nothing may be missing in CI)")
    pytest.skip(str(reason))


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
    return clone(postgres, "postgres")


@pytest.fixture
def empty_database(postgres: Postgres) -> str:
    return clone(postgres, "template0")


def clone(postgres: Postgres, template: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("template1"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return name


@pytest.fixture
def rows(postgres: Postgres, database: str) -> Iterator[Connection]:
    """A direct connection to the test's own database."""
    with connect(postgres.url(database)) as connection:
        yield connection


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


@dataclass(frozen=True)
class House:
    """All parts together: ModelRiver, the function on the real runtime, PgBouncer, Postgres."""

    modelriver: ModelRiver
    vercel: Vercel
    connection: Connection

    def rows(self, channel_id: str) -> list[DictRow]:
        query = "SELECT * FROM ai_content WHERE channel_id = %s"
        return self.connection.execute(query, [channel_id]).fetchall()

    def count(self) -> int:
        row = self.connection.execute("SELECT count(*) AS all FROM ai_content").fetchone()
        assert row
        count: int = row["all"]
        return count


@pytest.fixture(scope="session")
def modelriver() -> Iterator[ModelRiver]:
    with ModelRiver() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def house(postgres: Postgres, pgbouncer: PgBouncer, modelriver: ModelRiver) -> Iterator[House]:
    name = clone(postgres, "postgres")
    settings = {**modelriver.settings, "DATABASE_URL": pgbouncer.url(name)}
    with Vercel(settings) as vercel, connect(postgres.url(name)) as connection:
        yield House(modelriver, vercel, connection)
        assert_nothing_is_told(vercel, modelriver)


def assert_nothing_is_told(vercel: Vercel, modelriver: ModelRiver) -> None:
    """Whatever an instance was sent, it logged JSON alone: no secret, no content, no SQL error."""
    assert vercel.output == ""
    lines = "\n".join(vercel.log)
    secrets = (modelriver.secret, modelriver.api_key, "dbsecret", "postgresql://")
    content = ("SENTINEL", "Inception", "Dreams")
    database = ("psycopg", "FATAL", "server closed", "violates", "relation", "connection to")
    for each in (*secrets, *content, *database):
        assert each not in lines, each
    assert all(line.startswith('{"outcome":') for line in vercel.log)


@dataclass(frozen=True)
class Board:
    """A console over real parts, with a database of its own."""

    modelriver: ModelRiver
    vercel: Vercel
    desk: Desk
    connection: Connection

    @property
    def url(self) -> str:
        return self.modelriver.origin

    def row_id(self, channel_id: str) -> str:
        """The id of the channel's one row."""
        query = "SELECT id::text FROM ai_content WHERE channel_id = %s"
        (row,) = self.connection.execute(query, [channel_id]).fetchall()
        return str(row["id"])


@contextmanager
def open_board(postgres: Postgres, speed: float = 1.0) -> Iterator[Board]:
    """A console whose ModelRiver's clock goes `speed` times as fast."""
    url = postgres.url(clone(postgres, "postgres"))
    with ExitStack() as parts:
        modelriver = parts.enter_context(ModelRiver())
        vercel = Vercel({**modelriver.settings, "DATABASE_URL": url})
        redelivery = parts.enter_context(Redelivery(modelriver, [vercel], speed=speed))
        desk = Desk(modelriver, redelivery, speed)
        vercel.on_message = desk.take
        parts.enter_context(vercel)
        Console(modelriver, desk, url)
        desk.tell(function="running", started_at=0, speed=speed, schema="")
        yield Board(modelriver, vercel, desk, parts.enter_context(connect(url)))


@contextmanager
def make_dev(
    *options: str, directory: Path = ROOT, environment: Mapping[str, str] = os.environ
) -> Iterator["subprocess.Popen[str]"]:
    """`make dev` in a process of its own, once it serves; interrupted in the end, as by Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-m", "lib.local", "dev", *options],
        cwd=directory,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        try:
            assert next(line for line in server.stdout if "Ctrl-C" in line)
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            # What it still says must not fill the pipe.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
