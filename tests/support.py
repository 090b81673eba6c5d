"""What tests share: a stack to test, a database of one's own, and values of any shape."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import psycopg
import pytest
from hypothesis import strategies as st
from psycopg.rows import DictRow, dict_row

from lib.local.console.desk import Desk
from lib.local.console.server import Console
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.redelivery import Redelivery
from lib.local.standins.vercel import ROOT, Vercel

type Connection = psycopg.Connection[DictRow]

texts = st.text(st.characters())  # lone surrogates and NUL among them
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)

HOSTILE = [
    "",
    "garbage",
    "42",
    "null",
    "/v1/callback/c-1",
    "//api.modelriver.com/v1/callback",
    "http://api.modelriver.com/v1/callback",
    "https://evil.test/",
    "https://api.modelriver.com@evil.test/",
    "https://api.modelriver.com:443@evil.test/",
    "https://evil.test@api.modelriver.com/",
    "https://user:pass@api.modelriver.com/",
    "https://@api.modelriver.com/",
    "https://api.modelriver.com\\@evil.test/",
    "https://api.modelriver.com\\.evil.test/",
    "https:\\\\api.modelriver.com/",
    "https:/api.modelriver.com/",
    "https:api.modelriver.com/",
    "https://api.modelriver.com./",
    "https://api.modelriver.com:8443/",
    "https://api.modelriver.com:0/",
    "https://api.modelriver.com:99999/",
    "https://api.modelriver.com:port/",
    "https://api.modelriver.com.evil.test/",
    "https://xapi.modelriver.com/",
    "https://modelriver.com/",
    "https://[api.modelriver.com]/",
    "https://[::1",
    " https://api.modelriver.com/",
    "https://api.modelriver.com/\n",
    "https://api.modelriver.com\t/",
    "https://api.modelriver.com/\r\nX-Injected: 1",
    "https://api。modelriver。com/",
    "https://аpi.modelriver.com/",  # noqa: RUF001 - a Cyrillic letter
    "https://api.modelriver.com\u2100/",
    "https://api%2emodelriver.com/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "https://api.modelriver.com/" + "a" * 2048,
]
"""Callback URLs that the key must not go to."""


def missing(reason: PartMissing) -> Never:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (nothing may be missing in CI)")
    pytest.skip(str(reason))


def new_channel() -> str:
    return str(uuid.uuid4())


def clone(postgres: Postgres, template: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres.url("template1"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return name


def connect(url: str) -> Connection:
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


@dataclass(frozen=True)
class Stack:
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
class ConsoleStack:
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
def open_console(postgres: Postgres, speed: float = 1.0) -> Iterator[ConsoleStack]:
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
        yield ConsoleStack(modelriver, vercel, desk, parts.enter_context(connect(url)))


@contextmanager
def make_dev(
    *options: str,
    directory: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
    said: list[str] | None = None,
) -> Iterator["subprocess.Popen[str]"]:
    """`make dev` in a process of its own, once it serves; interrupted in the end, as by Ctrl-C.

    What it printed until then is added to `said`.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "lib.local", "dev", *options],
        cwd=directory,
        env=dict(environment),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        try:
            printed = [] if said is None else said
            while "Ctrl-C" not in "".join(printed):
                printed.append(next(server.stdout))
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            # What it still says must not fill the pipe.
            threading.Thread(target=server.stdout.read, daemon=True).start()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def settled(condition: Callable[[], bool]) -> bool:
    """Whether it holds soon; the note and the log line come after the answer."""
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        if condition():
            return True
        time.sleep(0.01)
    return False
