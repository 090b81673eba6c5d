"""The one way from here to a database: how it is connected to, and how its errors are told."""

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from lib.local.problem import Problem

type Connection = psycopg.Connection[DictRow]


def connect(url: str, within: int = 15) -> Connection:
    """A connection in autocommit, whose rows are dictionaries. Raises psycopg.Error.

    Connecting takes at most `within` seconds. Nothing is prepared, which a pooler may not take.
    """
    return psycopg.connect(
        url,
        autocommit=True,
        prepare_threshold=None,
        connect_timeout=within,
        row_factory=dict_row,
    )


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection for a `with` block, inside which what the database says is raised as Problem."""
    where = place(url)
    try:
        with connect(url) as connection:
            yield connection
    except psycopg.Error as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        raise Problem(f"{where}: {words(error)}{hint}") from None


def place(url: str) -> str:
    """Where a database is, without user and password. Raises Problem."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Problem("the connection string is malformed") from None
    port = f":{parts['port']}" if "port" in parts else ""
    return f"{parts.get('host', 'localhost')}{port}/{parts.get('dbname', '')}"


def words(error: psycopg.Error) -> str:
    """What Postgres or the driver says, in one line, which never holds the password."""
    return error.diag.message_primary or str(error).splitlines()[0]
