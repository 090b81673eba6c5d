"""The one way from here to a database: how it is connected to, and how its errors are told."""

import contextlib
from collections.abc import Iterator, Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from lib.local.problem import Problem

UNDEFINED_TABLE = "42P01"

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
        if error.sqlstate == UNDEFINED_TABLE:
            hint = "; make schema makes it"
        raise Problem(f"{where}: {words(error)}{hint}") from None


def place(url: str) -> str:
    """Where a database is, without user and password. Raises Problem."""
    parts = _parts(url)
    port = f":{parts['port']}" if "port" in parts else ""
    return f"{parts.get('host', 'localhost')}{port}/{parts.get('dbname', '')}"


def _parts(url: str) -> Mapping[str, object]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Problem("the connection string is malformed") from None


def is_here(url: str) -> bool:
    """Whether a database is on this machine. Raises Problem."""
    host = str(_parts(url).get("host") or "")
    return host in {"localhost", "127.0.0.1", "::1", ""} or host.startswith("/")


def words(error: psycopg.Error) -> str:
    """What Postgres or the driver says, in one line, which never holds the password."""
    return error.diag.message_primary or str(error).splitlines()[0]
