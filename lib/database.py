"""Rows in Neon: one round trip to save an AI result, one to note how its callback ended.

Everything here is safe to repeat, so a statement that was lost with its connection is sent again.
The connection string is Neon's pooled one: PgBouncer in transaction mode, where no session state
lasts from one statement to the next (https://neon.com/docs/connect/connection-pooling). So there
are no prepared statements, no SET and no transaction longer than a statement.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Self

import psycopg
from psycopg import Connection
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from lib.content import AiContent
from lib.errors import DatabaseUnavailable, Misconfigured, RecordRefused
from lib.jsontext import Json

TABLE = "ai_content"

CONNECT_TIMEOUT = 10
"""Seconds for one connect: a suspended Neon compute takes some to wake up."""
EXECUTE_TIMEOUT = 5.0
"""Seconds for one statement: a connection that died in silence must leave time for a fresh one."""
CANCEL_TIMEOUT = 1.0
"""Seconds for telling Postgres that a statement was given up."""
MAX_CONNECTIONS = 4
"""Connections an instance keeps: a statement takes under a millisecond, so few serve many."""
MAX_AT_ONCE = 64
"""Rows being saved or waiting for a connection; more deliveries are told to come again at once."""
PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before a statement is sent again after a fresh connection failed: Postgres may be
restarting, and a person is waiting."""

# The no-op update makes Postgres return the row that is there, which DO NOTHING would not. The two
# columns that it may fill are null only in rows from before this receiver. xmax is 0 in a row that
# this statement inserted; then there is no need to send the AI result back.
_COLUMNS = [field.name for field in fields(AiContent)]
_SAVE = f"""
    INSERT INTO {TABLE} AS kept ({", ".join(_COLUMNS)})
    VALUES ({", ".join(["%s"] * len(_COLUMNS))})
    ON CONFLICT (channel_id, coalesce(event_name, '')) WHERE channel_id IS NOT NULL
    DO UPDATE SET ai_data = coalesce(kept.ai_data, excluded.ai_data),
                  callback_url = coalesce(kept.callback_url, excluded.callback_url)
    RETURNING id::text, coalesce(created_at, now()), xmax = 0, callback_url,
              called_back_at IS NOT NULL, callback_error,
              CASE WHEN xmax = 0 THEN NULL ELSE ai_data END
"""  # noqa: S608 - the names come from this project alone
_NOTE = f"""
    UPDATE {TABLE}
    SET called_back_at = CASE WHEN %(error)s::text IS NULL THEN now() END,
        callback_error = %(error)s, updated_at = now()
    WHERE id = %(id)s::uuid AND called_back_at IS NULL
"""  # noqa: S608

_REFUSALS = {"22", "23", "54"}
"""SQLSTATE classes that blame the record: data, integrity, and what exceeds a limit."""
_CONNECT_FAULTS = {
    "password authentication failed": "password refused",
    "does not exist": "no such database or role",
    "resolve": "host name not found",
    "refused": "connection refused",
    "timeout": "connect timed out",
    "unsupported startup parameter": "the pooler refuses an option of the URL",
}

_logger = logging.getLogger("modelriver")
# psycopg and its pool log what Postgres says, which may quote a row or a password.
logging.getLogger("psycopg").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Record:
    """The row of an AI result as it stands in Postgres."""

    id: str
    saved_at: datetime
    is_new: bool
    callback_url: str
    called_back: bool
    callback_error: str | None
    stored_ai_data: Json
    """Of a row that was there before, what it holds; None for a new one."""


class Database:
    """A few kept connections, opened when the first is needed."""

    def __init__(self, url: str) -> None:
        """Raises Misconfigured where libpq cannot make sense of `url`; connects to nothing."""
        try:
            host = str(conninfo_to_dict(url).get("host", ""))
        except psycopg.ProgrammingError:
            raise Misconfigured("DATABASE_URL") from None
        if host.endswith(".neon.tech") and "-pooler" not in host:
            _logger.warning('{"outcome":"warning","reason":"DATABASE_URL is not the pooled one"}')
        self._pool = ConnectionPool(
            url,
            connection_class=_BoundedConnection,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "connect_timeout": CONNECT_TIMEOUT,
                "keepalives_idle": 30,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": int(EXECUTE_TIMEOUT * 1000),
                "application_name": "modelriver",
            },
            min_size=0,
            max_size=MAX_CONNECTIONS,
            # How long the pool goes on trying in the background, at growing intervals. Were it
            # longer, a database that is back would have to wait for the next try.
            reconnect_timeout=CONNECT_TIMEOUT,
            open=True,  # connects to nothing yet: min_size is 0
        )
        # Not the pool's own max_waiting, which goes on counting those who gave up, and once it is
        # reached opens no connection any more (psycopg_pool 3.3.3).
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)

    def save(self, content: AiContent, deadline: float) -> Record:
        """Insert the row, or find the one that its channel and event already have.

        `deadline` is a time.monotonic() to be done by. Raises RecordRefused where Postgres will
        never take this row, DatabaseUnavailable for everything else.
        """
        if not self._places.acquire(blocking=False):
            raise DatabaseUnavailable("too many at once")
        try:
            return Record(*self._execute(_SAVE, astuple(content), deadline))
        finally:
            self._places.release()

    def note(self, record_id: str, callback_error: str | None, deadline: float) -> None:
        """Note on the row that ModelRiver took the callback, or why not; a success stays.

        Raises DatabaseUnavailable.
        """
        self._execute(_NOTE, {"id": record_id, "error": callback_error}, deadline)

    def close(self) -> None:
        """Close all connections, for good."""
        self._pool.close()

    def _execute(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object], deadline: float
    ) -> TupleRow:
        """The first row that the statement returns, or () where it returns none."""
        pauses = iter(PAUSES)
        while True:
            connection = self._connection(deadline)
            was_kept = connection.has_served
            try:
                return connection.run(statement, parameters, deadline)
            except psycopg.Error as error:
                state, name = error.sqlstate or "", type(error).__name__
                refused = state[:2] in _REFUSALS or isinstance(error, psycopg.DataError)
            finally:
                self._pool.putconn(connection)
            if refused:
                raise RecordRefused(state or name)
            if was_kept and connection.closed:
                # After Neon slept, what was kept is dead, this one and the others.
                self._pool.drain()
                continue
            pause = next(pauses, math.inf) if connection.closed else math.inf
            if time.monotonic() + pause >= deadline:
                raise DatabaseUnavailable(state or name)
            time.sleep(pause)

    def _connection(self, deadline: float) -> "_BoundedConnection":
        try:
            return self._pool.getconn(deadline - time.monotonic())
        except psycopg.OperationalError as error:  # the pool's own are among these
            fault = _BoundedConnection.last_fault
            raise DatabaseUnavailable(f"{type(error).__name__} {fault}".strip()) from None


class _BoundedConnection(Connection[TupleRow]):
    """A connection that waits for Postgres no longer than it is told."""

    has_served = False
    last_fault: ClassVar[str] = ""
    """Why the last connect failed, in words of ours: the pool tells nobody."""
    _give_up_at = 0.0

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:  # noqa: ANN401 - as psycopg has it
        try:
            connection = super().connect(conninfo, **kwargs)
        except psycopg.Error as error:
            faults = (words for sign, words in _CONNECT_FAULTS.items() if sign in str(error))
            cls.last_fault = next(faults, type(error).__name__)
            raise
        cls.last_fault = ""
        return connection

    def run(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object], deadline: float
    ) -> TupleRow:
        self._give_up_at = min(deadline, time.monotonic() + EXECUTE_TIMEOUT)
        try:
            cursor = self.execute(statement, parameters)
        except psycopg.OperationalError:
            # A statement that we wait for no longer would else go on waiting in Postgres.
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_TIMEOUT)
            self.close()  # its state is not known
            raise
        self.has_served = True
        return (cursor.description and cursor.fetchone()) or ()

    def wait[T](self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        # Without a timeout, a frozen server or a pooler without a server would hold us for minutes.
        remaining = self._give_up_at - time.monotonic() if timeout is None else timeout
        return super().wait(gen, interval, remaining)
