"""A connection to Postgres that waits no longer than it is told, and says why it failed.

What Postgres, poolers and Neon say may quote a row, a password or a host. So it is never logged;
what is logged is a SQLSTATE, or the one of the phrases listed here that is in it.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

EXECUTE_TIMEOUT = 5.0  # seconds: a connection that died in silence leaves time for a fresh one
CANCEL_TIMEOUT = 1.0  # seconds to tell Postgres that a statement is given up

# What is known of what Neon (https://neon.com/docs/connect/connection-errors), Postgres, PgBouncer
# and libpq say of a connect that failed, the most specific first. Quoted names were blanked out.
_CONNECT_FAULTS = (
    "no such database", "no such user",  # PgBouncer quotes no name
    "endpoint id is not specified", "endpoint could not be found", "endpoint cannot be found",
    "endpoint is disabled", "endpoint has been disabled", "concurrently active endpoints",
    "compute time quota", "data transfer quota", "exceeded the", "compute node", "control plane",
    "not allowed to connect", "blocked network", "root certificate", "certificate verify failed",
    "does not match host name", "certificate", "does not support ssl", "channel binding",
    "password authentication failed", "no password supplied", "not permitted to log in",
    "permission denied for database", "not currently accepting", "unsupported startup parameter",
    "invalid port number", "invalid integer value", "acquire permit", "too many clients",
    "too many connections", "no more connections allowed", "connections exceeded",
    "slots are reserved", "server down", "starting up", "not yet accepting", "shutting down",
    "recovery mode", "query_wait_timeout", 'database "" does not exist', 'role "" does not exist',
    "failed to resolve host", "translate host name",
    # With sslmode=prefer, libpq tries again without TLS, and says this after the true reason.
    "no encryption", "connection is insecure", "ssl required", "pg_hba.conf",
    "server login", "authentication", "sasl", "scram", "ssl", "connection refused", "unreachable",
    "no route to host", "timed out", "timeout", "closed the connection", "reset by peer",
)  # fmt: skip


class BoundedConnection(psycopg.Connection[TupleRow]):
    opened_at: float  # time.monotonic()
    last_fault: ClassVar[str] = ""  # of a connect, for the log: the pool tries again, and is silent
    _give_up_at: float

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:  # noqa: ANN401 - as psycopg has it
        try:
            connection = super().connect(conninfo, **kwargs)
        except psycopg.Error as error:
            cls.last_fault = _connect_fault(error)
            raise
        cls.last_fault = ""
        connection.opened_at = time.monotonic()
        return connection

    def run(
        self, statement: str, parameters: Mapping[str, object], deadline: float
    ) -> TupleRow | None:
        """The first row, if any, by a time.monotonic(). Raises psycopg.Error."""
        self._give_up_at = min(deadline, time.monotonic() + EXECUTE_TIMEOUT)
        try:
            cursor = self.execute(statement, parameters)
            return cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            if error.sqlstate is None:
                # A statement that we wait for no longer would else go on waiting in Postgres.
                with contextlib.suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_TIMEOUT)
            raise

    def wait[T](self, gen: PQGen[T], *_: object, **__: object) -> T:
        # psycopg waits for minutes for a frozen server, or for a pooler that has no server.
        return super().wait(gen, timeout=self._give_up_at - time.monotonic())


def _connect_fault(error: psycopg.Error) -> str:
    said = re.sub(r"""(?<!\w)(["']).*?\1""", '""', str(error)).lower()  # names may be anything
    return next((known for known in _CONNECT_FAULTS if known in said), type(error).__name__)
