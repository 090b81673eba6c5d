"""What tests share: a stack to test, a database of one's own, and values of any shape."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Never

import pytest
from hypothesis import strategies as st

from lib.callback import Callbacks
from lib.database import Database
from lib.local.commands.dev import attach_console
from lib.local.console.desk import Desk
from lib.local.console.forward import Forward
from lib.local.database import Connection, connect
from lib.local.project import ROOT
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import Vercel
from lib.webhook import Webhook

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
    """Skip the test, or fail it where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (nothing may be missing in CI)")
    pytest.skip(str(reason))


def release(kept: Callbacks | Database | Webhook) -> None:
    """Close its connections: Vercel ends a process together with them."""
    match kept:
        case Callbacks(_threads=threads, _adapter=adapter):
            threads.shutdown(wait=False)
            adapter.close()
        case Database(_pool=pool):
            pool.close()
        case Webhook(_callbacks=callbacks, _database=database):
            release(callbacks)
            release(database)


def new_channel() -> str:
    return str(uuid.uuid4())


def clone(postgres: Postgres, template: str = "postgres") -> str:
    """The name of a new database: with the schema in it, unless from another template."""
    name = f"test_{uuid.uuid4().hex}"
    with connect(postgres.url("template1")) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return name


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
    forward: Forward
    connection: Connection

    @property
    def desk(self) -> Desk:
        return self.forward.desk

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
    with Stack(postgres=postgres, database=clone(postgres)) as stack:
        vercel = stack.serve()
        forward = attach_console(stack, stack.modelriver, vercel, stack.direct_url, speed=speed)
        vercel.on_message = forward.desk.take
        forward.desk.tell(function="running", started_at=0, schema="")
        yield ConsoleStack(stack.modelriver, forward, stack.connection)


SAID: dict[int, str] = {}
"""What each `make dev` printed, by its process; whole once it has ended."""


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
            lines = iter(server.stdout.readline, "")
            SAID[server.pid] = "".join(takewhile(lambda line: "Ctrl-C" not in line, lines))
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            rest: list[str] = []  # read meanwhile, or it would fill the pipe
            reader = threading.Thread(target=lambda: rest.extend(server.stdout or ()), daemon=True)
            reader.start()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
            reader.join(10)
            SAID[server.pid] = SAID.get(server.pid, "") + "".join(rest)
