"""A connection to Postgres that waits no longer than it is told, and what its failures mean.

What Postgres, poolers and Neon say may quote a row, a password or a host. So it is never logged;
what is logged is a SQLSTATE, or the words that are found for it here.
"""

import contextlib
import enum
import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

EXECUTE_TIMEOUT = 5.0
"""Seconds for one statement: a connection that died in silence must leave time for a fresh one."""
CANCEL_TIMEOUT = 1.0
"""Seconds for telling Postgres that a statement was given up."""


class Fate(enum.Enum):
    """What becomes of a statement that failed."""

    REFUSED = "Postgres will never take this record."
    AGAIN = "The connection is given up, and the statement sent again on a fresh one."
    LATER = "A redelivery may find that somebody has mended it."


_CLASSES = {
    "08": Fate.AGAIN,  # connection: a pooler lost its server, or had none in time
    "22": Fate.REFUSED,  # data: a value that its column cannot hold
    "23": Fate.REFUSED,  # integrity: a constraint that the owner added
    "25": Fate.AGAIN,  # read-only: a primary that was demoted stays so for its old connections
    "40": Fate.AGAIN,  # rolled back so that another transaction could go on
    "53": Fate.AGAIN,  # resources: out of connections, memory or disk
    "54": Fate.REFUSED,  # limits: longer than an index or a row can be
    "57": Fate.AGAIN,  # an operator's doing: shut down, starting up, cancelled
    "58": Fate.AGAIN,  # the system below Postgres failed
    "XX": Fate.AGAIN,  # internal: Neon's proxy says so, too, where it loses its compute
}
"""By the class of the SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html).
Any other, say a table that is not there, is for LATER."""

_CONNECT_FAULTS = (
    # Neon's proxy (https://neon.com/docs/connect/connection-errors).
    ("Endpoint ID is not specified", "Neon cannot tell the endpoint: the host's name is not sent"),
    ("requested endpoint could not be found", "Neon's endpoint is not found"),
    ("endpoint is disabled", "Neon's endpoint is disabled"),
    ("endpoint has been disabled", "Neon's endpoint is disabled"),
    ("concurrently active endpoints", "over Neon's limit of active endpoints"),
    ("exceeded the", "over Neon's quota"),
    ("compute node", "Neon's compute cannot be reached"),
    ("control plane", "Neon's control plane cannot be reached"),
    ("acquire permit", "too many connections at once for Neon"),
    ("connection is insecure", "TLS is demanded: sslmode=require is missing"),
    # Certificates, before whatever else "does not exist".
    ("root certificate", "the root certificate of sslrootcert cannot be read"),
    ("certificate", "the server's certificate is refused"),
    ("does not support SSL", "the server speaks no TLS, which sslmode demands"),
    ("SSL required", "TLS is demanded: sslmode=require is missing"),
    ("no encryption", "TLS is demanded, or pg_hba.conf has no entry for this client"),
    ("pg_hba.conf", "pg_hba.conf has no entry for this client"),
    ("SSL", "TLS failed"),
    # Who may come in.
    ("channel binding", "channel binding failed"),
    ("password authentication failed", "password refused"),
    ("no password supplied", "the URL has no password"),
    ("SASL", "authentication failed"),
    ("SCRAM", "authentication failed"),
    ("authentication", "authentication failed"),
    ("not permitted to log in", "the role may not log in"),
    # What a pooler in transaction mode does not take.
    ("unsupported startup parameter", "the pooler refuses an option of the URL"),
    # How many.
    ("too many", "too many connections"),
    ("no more connections allowed", "too many connections"),
    ("connections exceeded", "too many connections"),
    ("connection slots are reserved", "too many connections"),
    # Not now.
    ("starting up", "the database is starting up"),
    ("not yet accepting", "the database is starting up"),
    ("shutting down", "the database is shutting down"),
    ("recovery mode", "the database is recovering from a crash"),
    ("server login has been failing", "the pooler cannot log in to the database"),
    ("server login failed", "the pooler cannot log in to the database"),
    ("server down", "the pooler has no database server"),
    ("query_wait_timeout", "the pooler has no free connection"),
    # Not there.
    ("no such user", "no such role"),
    ("no such database", "no such database"),
    ('database "" does not exist', "no such database"),
    ('role "" does not exist', "no such role"),
    ("resolve", "host name not found"),
    ("translate host name", "host name not found"),
    ("Connection refused", "connection refused"),
    ("unreachable", "no way to the host"),
    ("No route to host", "no way to the host"),
    ("timeout", "connect timed out"),
    ("timed out", "connect timed out"),
    ("closed the connection", "the connection was closed"),
    ("reset by peer", "the connection was closed"),
)
"""What a message has in it, the most specific first, and what the log says of it."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection that waits for Postgres no longer than it is told."""

    has_served = False
    last_fault: ClassVar[str] = ""
    """Why the last connect failed, for the log alone: the pool tries again, and tells nobody."""
    _give_up_at = 0.0

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:  # noqa: ANN401 - as psycopg has it
        try:
            connection = super().connect(conninfo, **kwargs)
        except psycopg.Error as error:
            cls.last_fault = _connect_fault(error)
            raise
        cls.last_fault = ""
        return connection

    def run(
        self, statement: str, parameters: Mapping[str, object], deadline: float
    ) -> TupleRow | None:
        self._give_up_at = min(deadline, time.monotonic() + EXECUTE_TIMEOUT)
        try:
            cursor = self.execute(statement, parameters)
            row = cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            if error.sqlstate is None:
                # A statement that we wait for no longer would else go on waiting in Postgres.
                with contextlib.suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_TIMEOUT)
            if fate(error) is Fate.AGAIN:
                self.close()
            raise
        self.has_served = True
        return row

    def wait[T](self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        # Without a timeout, a frozen server or a pooler without a server would hold us for minutes.
        remaining = self._give_up_at - time.monotonic() if timeout is None else timeout
        return super().wait(gen, interval, remaining)


def fate(error: psycopg.Error) -> Fate:
    """What becomes of the statement that failed so."""
    if error.sqlstate:
        return _CLASSES.get(error.sqlstate[:2], Fate.LATER)
    # What has no SQLSTATE is not Postgres's word, so it is no refusal: the row may well be there.
    return Fate.AGAIN if isinstance(error, psycopg.OperationalError) else Fate.LATER


def _connect_fault(error: psycopg.Error) -> str:
    said = re.sub(r'"[^"]*"', '""', str(error)).lower()  # names may be anything
    found = (words for sign, words in _CONNECT_FAULTS if sign.lower() in said)
    return next(found, type(error).__name__)
