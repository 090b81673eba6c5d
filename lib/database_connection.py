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

_CONNECT_FAULTS = {
    # Neon's proxy (https://neon.com/docs/connect/connection-errors).
    "Neon cannot tell the endpoint: the host's name is not sent": ["endpoint id is not specified"],
    "Neon's endpoint is not found": ["endpoint could not be found"],
    "Neon's endpoint is disabled": ["endpoint is disabled", "endpoint has been disabled"],
    "over Neon's limit of active endpoints": ["concurrently active endpoints"],
    "over Neon's quota": ["exceeded the"],
    "Neon's compute cannot be reached": ["compute node", "control plane"],
    # TLS. Certificates come before whatever else "does not exist".
    "the root certificate of sslrootcert cannot be read": ["root certificate"],
    "the server's certificate is refused": ["certificate"],
    "the server speaks no TLS, which sslmode demands": ["does not support ssl"],
    "TLS is demanded: sslmode=require is missing": ["connection is insecure", "ssl required"],
    "TLS is demanded, or pg_hba.conf has no entry for this client": ["no encryption"],
    "pg_hba.conf has no entry for this client": ["pg_hba.conf"],
    "TLS failed": ["ssl"],
    # Who may come in, and with what.
    "channel binding failed": ["channel binding"],
    "password refused": ["password authentication failed"],
    "the URL has no password": ["no password supplied"],
    "authentication failed": ["authentication", "sasl", "scram"],
    "the role may not log in": ["not permitted to log in"],
    "the pooler refuses an option of the URL": ["unsupported startup parameter"],
    "too many connections": [
        *("too many", "no more connections allowed", "connections exceeded"),
        *("slots are reserved", "acquire permit"),
    ],
    "a number in the URL is none": ["invalid port number", "invalid integer value"],
    # Not now.
    "the database is starting up": ["starting up", "not yet accepting"],
    "the database is shutting down": ["shutting down"],
    "the database is recovering from a crash": ["recovery mode"],
    "the pooler cannot log in to the database": ["server login"],
    "the pooler has no database server": ["server down"],
    "the pooler has no free connection": ["query_wait_timeout"],
    # Not there.
    "no such database": ["no such database", 'database "" does not exist'],
    "no such role": ["no such user", 'role "" does not exist'],
    "host name not found": ["resolve", "translate host name"],
    "connection refused": ["connection refused"],
    "no way to the host": ["unreachable", "no route to host"],
    "connect timed out": ["timeout", "timed out"],
    "the connection was closed": ["closed the connection", "reset by peer"],
}
"""What the log says of a failed connect, the most specific first, and by what it is known."""


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
    for words, signs in _CONNECT_FAULTS.items():
        if any(sign in said for sign in signs):
            return words
    return type(error).__name__
