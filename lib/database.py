"""Rows in Neon: one round trip to save an AI result, one to note how its callback ended.

Both are safe to repeat, so one that was lost with its connection is sent again. Neon's pooler is
PgBouncer in transaction mode (https://neon.com/docs/connect/connection-pooling): nothing of a
session lasts from one statement to the next. So nothing is prepared, no transaction is longer than
a statement, and each brings what it needs: the table's schema, and times as text.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import fields

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from lib.content import TABLE, AiContent, Record
from lib.database_connection import BoundedConnection
from lib.errors import DatabaseUnavailable, Misconfigured, RecordRefused

CONNECT_TIMEOUT = 10  # seconds for one connect: a suspended Neon compute takes some to wake up
MAX_CONNECTIONS = 4  # of an instance: a statement takes under a millisecond, so few serve many
PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds before a statement is sent again on a fresh connection
# By class of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html): a value
# that its column cannot hold, a constraint, a limit.
REFUSED = ("22", "23", "54")
# By class of psycopg: the connection's or the server's fault, perhaps of this moment alone. What
# else fails, say for want of a table, is not mended within seconds.
PASSING = (psycopg.OperationalError, psycopg.InternalError)

_CONNECTION = {
    "autocommit": True,
    "prepare_threshold": None,
    "client_encoding": "utf8",
    "connect_timeout": CONNECT_TIMEOUT,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "tcp_user_timeout": 5000,  # ms, a connect's too: time is left for a host's next address
    "application_name": "modelriver",
}
_COLUMNS = [field.name for field in fields(AiContent)]
_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_RECORD = f"""
    id::text, coalesce({_TIME.format("created_at")}, {_TIME.format("now()")}),
    coalesce(callback_url, %(callback_url)s), called_back_at IS NOT NULL, callback_error
"""  # created_at may be null or infinite in an owner's own rows, and triggers may do anything
# The update changes nothing but rows from before this receiver, where the two columns are null. It
# makes Postgres return the row that is there, as DO NOTHING would not. xmax is 0 in a new row: its
# AI result need not be sent back.
_SAVE = f"""
    INSERT INTO public.{TABLE} AS kept ({", ".join(_COLUMNS)})
    VALUES ({", ".join(f"%({name})s" for name in _COLUMNS)})
    ON CONFLICT (channel_id, coalesce(event_name, '')) WHERE channel_id IS NOT NULL
    DO UPDATE SET ai_data = coalesce(kept.ai_data, excluded.ai_data),
                  callback_url = coalesce(kept.callback_url, excluded.callback_url)
    RETURNING {_RECORD}, xmax = 0, CASE WHEN xmax = 0 THEN NULL ELSE ai_data END
"""  # noqa: S608 - the names come from this project alone
# For where that returned nothing: the owner's triggers or constraints may forbid the no-op update.
_FIND = f"""
    SELECT {_RECORD}, false, coalesce(ai_data, %(ai_data)s::jsonb) FROM public.{TABLE}
    WHERE channel_id = %(channel_id)s
      AND coalesce(event_name, '') = coalesce(%(event_name)s::text, '')
"""  # noqa: S608
_NOTE = f"""
    UPDATE public.{TABLE}
    SET called_back_at = CASE WHEN %(error)s::text IS NULL THEN now() END,
        callback_error = %(error)s, updated_at = now()
    WHERE id = %(id)s::uuid AND called_back_at IS NULL
"""  # noqa: S608

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it logs what Postgres says
_logger = logging.getLogger("modelriver")


class Database:
    """A few kept connections, opened when the first is needed."""

    def __init__(self, url: str) -> None:
        """Raises Misconfigured where libpq cannot make sense of `url`; connects to nothing."""
        try:
            host = str(conninfo_to_dict(url).get("host"))
        except psycopg.ProgrammingError:
            raise Misconfigured("DATABASE_URL is not a URL that libpq takes") from None
        if host.endswith(".neon.tech") and "-pooler" not in host:
            _logger.warning('{"outcome":"warning","reason":"DATABASE_URL is not the pooled one"}')
        self._pool = ConnectionPool(
            url,
            connection_class=BoundedConnection,
            kwargs=_CONNECTION,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            # The pool tries in the background, at intervals that grow: after more than these, a
            # database that is back would not be noticed for long.
            reconnect_timeout=CONNECT_TIMEOUT,
            open=True,  # connects to nothing yet: min_size is 0
        )  # and no max_waiting: it counts those who gave up, too, and then opens no more (3.3.3)

    def save(self, content: AiContent, deadline: float) -> Record:
        """Insert the row, or find the one of its channel and event, by a time.monotonic().

        Raises RecordRefused where Postgres will never take it, and DatabaseUnavailable.
        """
        row = {name: getattr(content, name) for name in _COLUMNS}
        refused = RecordRefused("a trigger of the table keeps no such row")
        try:
            kept = self._execute(_SAVE, row, deadline)
        except RecordRefused as error:
            kept, refused = None, error
        if kept := kept or self._execute(_FIND, row, deadline):
            return Record(*kept)
        raise refused

    def note(self, record_id: str, callback_error: str | None, deadline: float) -> None:
        """Note on the row that ModelRiver took the callback, or why not; raises as `save` does."""
        self._execute(_NOTE, {"id": record_id, "error": callback_error}, deadline)

    def _execute(
        self, statement: str, parameters: Mapping[str, object], deadline: float
    ) -> TupleRow | None:
        """The first row that the statement returns, or None where it returns none."""
        pauses, fresh_since = iter(PAUSES), time.monotonic()
        while True:
            connection = self._connection(deadline)
            try:
                return connection.run(statement, parameters, deadline)
            except psycopg.Error as error:
                # Nothing is raised from here: its traceback would show the row.
                reason = error.sqlstate or type(error).__name__
                refused = reason.startswith(REFUSED)
                if passing := isinstance(error, PASSING) and not refused:
                    connection.close()
            finally:
                self._pool.putconn(connection)
            if refused:
                raise RecordRefused(reason)
            if passing and connection.opened_at < fresh_since:
                # After Neon slept, what was kept is dead, this one and the others; and the pool has
                # replaced at once what failed before a pause.
                self._pool.drain()
                continue
            pause = next(pauses, None) if passing else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise DatabaseUnavailable(reason)
            time.sleep(pause)
            fresh_since = time.monotonic()

    def _connection(self, deadline: float) -> BoundedConnection:
        try:
            return self._pool.getconn(deadline - time.monotonic())
        except psycopg.OperationalError as error:  # the pool's own are among these
            fault = BoundedConnection.last_fault
            raise DatabaseUnavailable(f"{type(error).__name__} {fault}".strip()) from None
