"""What is said where a connection fails, by the words of Postgres, poolers, Neon and libpq."""

import time

import psycopg
import pytest

from lib.database import Database
from lib.errors import DatabaseUnavailable
from lib.local.until import until
from tests.support import release

AT = 'connection failed: connection to server at "10.0.0.7", port 5432 failed: '
FAULTS = [
    (AT + "FATAL:  sorry, too many clients already", "too many clients"),
    (AT + 'FATAL:  too many connections for role "app"', "too many connections"),
    (
        AT
        + "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "slots are reserved",
    ),
    (AT + "FATAL:  no more connections allowed (max_client_conn)", "no more connections allowed"),
    (
        AT + "FATAL:  client connections exceeded (max_user_client_connections)",
        "connections exceeded",
    ),
    (AT + "SSL error: certificate verify failed", "certificate verify failed"),
    (AT + "SSL error: tlsv13 alert certificate required", "certificate"),
    (
        AT + 'server certificate for "*.neon.tech" does not match host name "db.test"',
        "does not match host name",
    ),
    (
        AT + 'root certificate file "/root/.postgresql/root.crt" does not exist\nEither provide it',
        "root certificate",
    ),
    (AT + "server does not support SSL, but SSL was required", "does not support ssl"),
    (
        AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app", SSL encryption',
        "pg_hba.conf",
    ),
    (
        AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app", no encryption',
        "no encryption",
    ),
    (AT + "FATAL:  SSL required", "ssl required"),
    (AT + "ERROR:  connection is insecure (try using `sslmode=require`)", "connection is insecure"),
    (AT + "SSL SYSCALL error: EOF detected", "ssl"),
    (AT + "FATAL:  SASL authentication failed", "authentication"),
    (AT + "FATAL:  auth failed: authentication query failed", "authentication"),
    (AT + "FATAL:  expected SASL response, got message type 81", "sasl"),
    (AT + "malformed SCRAM message (empty message)", "scram"),
    (
        AT + "channel binding required, but server authenticated client without channel binding",
        "channel binding",
    ),
    (
        AT + 'FATAL:  password authentication failed for user "quota"',
        "password authentication failed",
    ),
    (AT + "fe_sendauth: no password supplied", "no password supplied"),
    (AT + 'FATAL:  role "app" is not permitted to log in', "not permitted to log in"),
    ('invalid port number: "99999"', "invalid port number"),
    (
        'invalid integer value "soon" for connection option "connect_timeout"',
        "invalid integer value",
    ),
    (AT + "FATAL:  the database system is starting up", "starting up"),
    (AT + "FATAL:  the database system is not yet accepting connections", "not yet accepting"),
    (AT + "FATAL:  the database system is shutting down", "shutting down"),
    (AT + "FATAL:  the database system is in recovery mode", "recovery mode"),
    (
        AT + "ERROR:  The requested endpoint could not be found, or you don't have access to it.",
        "endpoint could not be found",
    ),
    (
        AT + "ERROR:  The endpoint is disabled. Enable it using Neon API and try again",
        "endpoint is disabled",
    ),
    (AT + "ERROR:  The endpoint has been disabled. Enable it", "endpoint has been disabled"),
    (
        AT + "ERROR:  Endpoint ID is not specified. Either please upgrade",
        "endpoint id is not specified",
    ),
    (
        AT
        + "ERROR:  Your account or project has exceeded the compute time quota. Upgrade your plan",
        "compute time quota",
    ),
    (
        AT + "ERROR:  Your project has exceeded the data transfer quota. Upgrade your plan",
        "data transfer quota",
    ),
    (AT + "ERROR:  Your project has exceeded the active time quota.", "exceeded the"),
    (
        AT + "ERROR:  You have exceeded the limit of concurrently active endpoints.",
        "concurrently active endpoints",
    ),
    (AT + "ERROR:  Couldn't connect to compute node", "compute node"),
    (AT + "ERROR:  Control plane request failed", "control plane"),
    (AT + "ERROR:  Failed to acquire permit to connect to the database.", "acquire permit"),
    (AT + "FATAL:  unsupported startup parameter: options", "unsupported startup parameter"),
    (
        AT + "FATAL:  unsupported startup parameter in options: statement_timeout",
        "unsupported startup parameter",
    ),
    (AT + "FATAL:  query_wait_timeout", "query_wait_timeout"),
    (AT + "FATAL:  client_login_timeout (server down)", "server down"),
    (
        AT + "FATAL:  server login has been failing, try again later (server_login_retry)",
        "server login",
    ),
    (AT + "FATAL:  server login failed: wrong password type", "server login"),
    (AT + 'FATAL:  database "timeout" does not exist', 'database "" does not exist'),
    (AT + "FATAL:  no such database: nowhere", "no such database"),
    (AT + 'FATAL:  role "app" does not exist', 'role "" does not exist'),
    (AT + "FATAL:  no such user: app", "no such user"),
    (
        "failed to resolve host 'db.test': [Errno -2] Name or service not known",
        "failed to resolve host",
    ),
    ('could not translate host name "db.test" to address', "translate host name"),
    (AT + "Connection refused\n\tIs the server running on that host", "connection refused"),
    (AT + "Network is unreachable", "unreachable"),
    (AT + "No route to host", "no route to host"),
    ("connection timeout expired", "timeout"),
    (AT + "timeout expired", "timeout"),
    (AT + "Connection timed out", "timed out"),
    (AT + "server closed the connection unexpectedly", "closed the connection"),
    (AT + "could not receive data from server: Connection reset by peer", "reset by peer"),
    (
        AT
        + 'FATAL:  pg_hba.conf rejects connection for host "1.2.3.4", user "bad", SSL encryption',
        "pg_hba.conf",
    ),
    (
        AT
        + 'FATAL:  password authentication failed for user "app"\n'
        + AT
        + "ERROR:  connection is insecure (try using `sslmode=require`)",
        "password authentication failed",
    ),
    (
        AT
        + 'FATAL:  password authentication failed for user "app"\n'
        + AT
        + 'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "app", no encryption',
        "password authentication failed",
    ),
    (
        AT + "ERROR:  password authentication failed for user 'certificate_app'",
        "password authentication failed",
    ),
    (
        AT + "ERROR:  This IP address 3.4.5.6 is not allowed to connect to this endpoint.",
        "not allowed to connect",
    ),
    (
        AT + "ERROR:  This connection is trying to access this endpoint from a blocked network.",
        "blocked network",
    ),
    (
        AT + "ERROR:  Control plane request failed: endpoint cannot be found",
        "endpoint cannot be found",
    ),
    (
        AT
        + "ERROR:  Failed to acquire permit to connect to the database. Too many database"
        + " connection attempts are currently ongoing.",
        "acquire permit",
    ),
    (
        AT + "FATAL:  server login has been failing, cached error: sorry, too many clients already",
        "too many clients",
    ),
    (AT + 'FATAL:  permission denied for database "d"', "permission denied for database"),
    (AT + 'FATAL:  database "d" is not currently accepting connections', "not currently accepting"),
    (AT + "FATAL:  no such database: ssl_reports", "no such database"),
    ("failed to resolve host 'ssl-db.test': [Errno -2] unknown", "failed to resolve host"),
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
    release(kept)
