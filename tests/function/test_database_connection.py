"""What is said where a connection fails, by the words of Postgres, poolers, Neon and libpq."""

import time

import psycopg
import pytest

from lib.database import Database
from lib.database_connection import Fate, fate
from lib.errors import DatabaseUnavailable
from lib.local.until import until

AT = 'connection failed: connection to server at "10.0.0.7", port 5432 failed: '
FAULTS = [
    (AT + "FATAL:  sorry, too many clients already", "too many connections"),
    (AT + 'FATAL:  too many connections for role "app"', "too many connections"),
    (
        AT
        + "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "too many connections",
    ),
    (AT + "FATAL:  no more connections allowed (max_client_conn)", "too many connections"),
    (
        AT + "FATAL:  client connections exceeded (max_user_client_connections)",
        "too many connections",
    ),
    (AT + "SSL error: certificate verify failed", "the server's certificate is refused"),
    (
        AT + 'server certificate for "*.neon.tech" does not match host name "db.test"',
        "the server's certificate is refused",
    ),
    (
        AT + 'root certificate file "/root/.postgresql/root.crt" does not exist\n'
        "Either provide the file, use the system's trusted roots with sslrootcert=system, …",
        "the root certificate of sslrootcert cannot be read",
    ),
    (
        AT + "server does not support SSL, but SSL was required",
        "the server speaks no TLS, which sslmode demands",
    ),
    (
        AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app", SSL encryption',
        "pg_hba.conf has no entry for this client",
    ),
    (
        AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app", no encryption',
        "TLS is demanded, or pg_hba.conf has no entry for this client",
    ),
    (AT + "FATAL:  SSL required", "TLS is demanded: sslmode=require is missing"),
    (
        AT + "ERROR:  connection is insecure (try using `sslmode=require`)",
        "TLS is demanded: sslmode=require is missing",
    ),
    (AT + "SSL SYSCALL error: EOF detected", "TLS failed"),
    (AT + "FATAL:  SASL authentication failed", "authentication failed"),
    (AT + "FATAL:  auth failed: authentication query failed", "authentication failed"),
    (AT + "FATAL:  expected SASL response, got message type 81", "authentication failed"),
    (AT + "malformed SCRAM message (empty message)", "authentication failed"),
    (
        AT + "channel binding required, but server authenticated client without channel binding",
        "channel binding failed",
    ),
    (AT + 'FATAL:  password authentication failed for user "quota"', "password refused"),
    (AT + "fe_sendauth: no password supplied", "the URL has no password"),
    (AT + 'FATAL:  role "app" is not permitted to log in', "the role may not log in"),
    ('invalid port number: "99999"', "a number in the URL is none"),
    (
        'invalid integer value "soon" for connection option "connect_timeout"',
        "a number in the URL is none",
    ),
    (AT + "FATAL:  the database system is starting up", "the database is starting up"),
    (
        AT + "FATAL:  the database system is not yet accepting connections",
        "the database is starting up",
    ),
    (AT + "FATAL:  the database system is shutting down", "the database is shutting down"),
    (
        AT + "FATAL:  the database system is in recovery mode",
        "the database is recovering from a crash",
    ),
    (
        AT + "ERROR:  The requested endpoint could not be found, or you don't have access to it.",
        "Neon's endpoint is not found",
    ),
    (
        AT + "ERROR:  The endpoint is disabled. Enable it using Neon API and try again",
        "Neon's endpoint is disabled",
    ),
    (AT + "ERROR:  The endpoint has been disabled. Enable it", "Neon's endpoint is disabled"),
    (
        AT + "ERROR:  Endpoint ID is not specified. Either please upgrade",
        "Neon cannot tell the endpoint: the host's name is not sent",
    ),
    (
        AT
        + "ERROR:  Your account or project has exceeded the compute time quota. Upgrade your plan",
        "over Neon's quota",
    ),
    (
        AT + "ERROR:  Your project has exceeded the data transfer quota. Upgrade your plan",
        "over Neon's quota",
    ),
    (
        AT + "ERROR:  You have exceeded the limit of concurrently active endpoints.",
        "over Neon's limit of active endpoints",
    ),
    (AT + "ERROR:  Couldn't connect to compute node", "Neon's compute cannot be reached"),
    (AT + "ERROR:  Control plane request failed", "Neon's compute cannot be reached"),
    (
        AT + "ERROR:  Failed to acquire permit to connect to the database.",
        "too many connections",
    ),
    (
        AT + "FATAL:  unsupported startup parameter: options",
        "the pooler refuses an option of the URL",
    ),
    (
        AT + "FATAL:  unsupported startup parameter in options: statement_timeout",
        "the pooler refuses an option of the URL",
    ),
    (AT + "FATAL:  query_wait_timeout", "the pooler has no free connection"),
    (AT + "FATAL:  client_login_timeout (server down)", "the pooler has no database server"),
    (
        AT + "FATAL:  server login has been failing, try again later (server_login_retry)",
        "the pooler cannot log in to the database",
    ),
    (
        AT + "FATAL:  server login failed: wrong password type",
        "the pooler cannot log in to the database",
    ),
    (AT + 'FATAL:  database "timeout" does not exist', "no such database"),
    (AT + "FATAL:  no such database: nowhere", "no such database"),
    (AT + 'FATAL:  role "app" does not exist', "no such role"),
    (AT + "FATAL:  no such user: app", "no such role"),
    (
        "failed to resolve host 'db.test': [Errno -2] Name or service not known",
        "host name not found",
    ),
    ('could not translate host name "db.test" to address', "host name not found"),
    (AT + "Connection refused\n\tIs the server running on that host", "connection refused"),
    (AT + "Network is unreachable", "no way to the host"),
    (AT + "No route to host", "no way to the host"),
    ("connection timeout expired", "connect timed out"),
    (AT + "timeout expired", "connect timed out"),
    (AT + "Connection timed out", "connect timed out"),
    (AT + "server closed the connection unexpectedly", "the connection was closed"),
    (
        AT + "could not receive data from server: Connection reset by peer",
        "the connection was closed",
    ),
    ("something else, with a secret in it", "OperationalError"),
]


@pytest.mark.parametrize(("said", "reason"), FAULTS)
def test_what_a_connection_failed_at_is_said_in_words_of_ours(
    said: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    kept = Database("postgresql://app@db.test/d")

    def fails() -> bool:
        """Before the first connect has failed, nothing is known."""
        with pytest.raises(DatabaseUnavailable) as caught:
            kept.note("7", None, time.monotonic() + 0.1)
        return caught.value.reason == f"PoolTimeout {reason}"

    assert until(fails, 20)
    kept.close()


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (psycopg.errors.lookup("22P05")(), Fate.REFUSED),
        (psycopg.errors.lookup("23505")(), Fate.REFUSED),
        (psycopg.errors.lookup("54000")(), Fate.REFUSED),
        (psycopg.errors.lookup("08P01")(), Fate.AGAIN),
        (psycopg.errors.lookup("25006")(), Fate.AGAIN),
        (psycopg.errors.lookup("40001")(), Fate.AGAIN),
        (psycopg.errors.lookup("53300")(), Fate.AGAIN),
        (psycopg.errors.lookup("57P01")(), Fate.AGAIN),
        (psycopg.errors.lookup("57014")(), Fate.AGAIN),
        (psycopg.errors.lookup("58030")(), Fate.AGAIN),
        (psycopg.errors.lookup("XX000")(), Fate.AGAIN),
        (psycopg.errors.lookup("42P01")(), Fate.LATER),
        (psycopg.errors.lookup("55P03")(), Fate.LATER),
        (psycopg.errors.lookup("P0001")(), Fate.LATER),
        (psycopg.OperationalError(), Fate.AGAIN),
        (psycopg.DataError(), Fate.LATER),
        (psycopg.InterfaceError(), Fate.LATER),
    ],
    ids=lambda value: getattr(value, "sqlstate", None) or str(value),
)
def test_what_becomes_of_a_statement_that_failed(error: psycopg.Error, becomes: Fate) -> None:
    assert fate(error) is becomes
