import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.rows import TupleRow

from lib import database as module
from lib.content import AiContent, to_row
from lib.database import MAX_CONNECTIONS, Database
from lib.database_connection import BoundedConnection
from lib.errors import DatabaseUnavailable, DeliveryError, Misconfigured, RecordRefused
from lib.event import AiGenerated
from lib.jsontext import Json
from lib.local.database import Connection
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port
from lib.local.until import until
from tests.support import release

AI_RESULT: Json = {"title": "Inception", "description": "Dreams.", "year": 2010}
ROW = to_row(
    AiGenerated(
        channel_id="c-1",
        event="e",
        ai_result=AI_RESULT,
        ai_failed=False,
        customer_data={"category": "movies"},
        meta={},
        callback_url="https://api.modelriver.com/v1/callback/c-1",
        timestamp=None,
    )
)
"""By way of `to_row`, so that a column which an owner adds needs no change here."""

OTHERS = "SELECT FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
"""All connections to a database but the one that asks."""
CUT_OFF = OTHERS.replace("SELECT", "SELECT pg_terminate_backend(pid)")


def soon(seconds: float = 10) -> float:
    return time.monotonic() + seconds


@pytest.fixture(params=["direct", "pooled"])
def kept(request: pytest.FixtureRequest, database: str) -> Iterator[Database]:
    """Over a direct connection, and through PgBouncer in transaction mode."""
    part = request.getfixturevalue("postgres" if request.param == "direct" else "pgbouncer")
    opened = Database(part.url(database))
    yield opened
    release(opened)


def test_a_new_row(kept: Database, rows: Connection) -> None:
    record = kept.save(ROW, soon())
    assert record.is_new
    assert not record.called_back
    assert record.callback_error is None
    assert record.callback_url == ROW.callback_url
    (row,) = rows.execute("SELECT * FROM ai_content").fetchall()
    assert str(row["id"]) == record.id
    saved_at = row["created_at"].astimezone(UTC).isoformat(timespec="milliseconds")
    assert record.saved_at == saved_at.replace("+00:00", "Z")
    assert (row["title"], row["body"], row["category"]) == ("Inception", "Dreams.", "movies")
    assert row["metadata"] == {"category": "movies"}
    assert row["ai_data"] == AI_RESULT
    assert (row["called_back_at"], row["callback_error"]) == (None, None)


def test_a_known_row_stays_as_it_was_first_stored(kept: Database, rows: Connection) -> None:
    first = kept.save(ROW, soon())
    before = rows.execute("SELECT * FROM ai_content").fetchall()
    other = replace(ROW, title="other", ai_data='"other"', callback_url="https://other.test/")
    again = kept.save(other, soon())
    assert (again.id, again.saved_at, again.is_new) == (first.id, first.saved_at, False)
    assert again.stored_ai_data == AI_RESULT
    assert again.callback_url == ROW.callback_url
    assert rows.execute("SELECT * FROM ai_content").fetchall() == before


@pytest.mark.parametrize("event_name", [None, ""])
def test_one_row_where_there_is_no_event_name(
    kept: Database, rows: Connection, event_name: str | None
) -> None:
    row = replace(ROW, event_name=event_name)
    assert kept.save(row, soon()).id == kept.save(row, soon()).id
    assert kept.save(ROW, soon()).is_new


def test_any_json_is_kept_as_it_is(kept: Database) -> None:
    for number, text in enumerate(["null", '"text"', "[1, 1.5]", "7", "true", "{}"]):
        row = replace(ROW, channel_id=str(number), ai_data=text)
        assert kept.save(row, soon()).is_new
        assert kept.save(row, soon()).stored_ai_data == json.loads(text)


def test_many_at_once_make_one_row(kept: Database, rows: Connection) -> None:
    with ThreadPoolExecutor(20) as threads:
        records = list(threads.map(lambda _: kept.save(ROW, soon()), range(60)))
    assert len({record.id for record in records}) == 1
    assert sum(record.is_new for record in records) == 1
    assert len(rows.execute("SELECT FROM ai_content").fetchall()) == 1


def test_six_clients_share_two_server_connections(
    pgbouncer: PgBouncer, database: str, rows: Connection
) -> None:
    """Prepared statements would fail here: another client's connection does not know them."""
    instances = [Database(pgbouncer.url(database)) for _ in range(6)]

    def deliver(number: int) -> None:
        row = replace(ROW, channel_id=f"c-{number}")
        record = instances[number % 6].save(row, soon())
        instances[number % 6].note(record.id, None, soon())

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(deliver, range(300)))
    for instance in instances:
        release(instance)
    noted = rows.execute("SELECT FROM ai_content WHERE called_back_at IS NOT NULL").fetchall()
    assert len(noted) == 300


def test_an_error_is_noted_and_then_a_success(kept: Database, rows: Connection) -> None:
    record = kept.save(ROW, soon())
    kept.note(record.id, "callback_unavailable: HTTP 500", soon())
    again = kept.save(ROW, soon())
    assert not again.called_back
    assert again.callback_error == "callback_unavailable: HTTP 500"
    kept.note(record.id, None, soon())
    again = kept.save(ROW, soon())
    assert again.called_back
    assert again.callback_error is None
    (row,) = rows.execute("SELECT called_back_at >= created_at AS later FROM ai_content").fetchall()
    assert row["later"]


def test_a_success_that_is_noted_stays(kept: Database) -> None:
    record = kept.save(ROW, soon())
    kept.note(record.id, None, soon())
    kept.note(record.id, "callback_unavailable: HTTP 500", soon())
    again = kept.save(ROW, soon())
    assert again.called_back
    assert again.callback_error is None


def test_a_row_from_before_this_receiver_is_completed(kept: Database, rows: Connection) -> None:
    rows.execute(
        "INSERT INTO ai_content (title, channel_id, event_name, created_at)"
        " VALUES ('old', 'c-1', 'e', NULL)"
    )
    record = kept.save(ROW, soon())
    assert not record.is_new
    assert record.stored_ai_data == AI_RESULT
    assert record.callback_url == ROW.callback_url
    (row,) = rows.execute("SELECT title, ai_data FROM ai_content").fetchall()
    assert row["title"] == "old"


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (replace(ROW, ai_data="{"), "22P02"),
        (replace(ROW, ai_data='"\\u0000"'), "22P05"),
        (replace(ROW, channel_id="".join(map(chr, range(256, 9000)))), "54000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_postgres_never_takes(kept: Database, row: AiContent, state: str) -> None:
    with pytest.raises(RecordRefused) as caught:
        kept.save(row, soon())
    assert caught.value.reason == state
    assert caught.value.__context__ is None  # a traceback would show the row
    kept.save(ROW, soon())


def test_a_row_that_a_constraint_of_the_owner_forbids(kept: Database, rows: Connection) -> None:
    rows.execute("ALTER TABLE ai_content ADD CHECK (category <> 'movies')")
    with pytest.raises(RecordRefused, match="23514"):
        kept.save(ROW, soon())


def test_what_psycopg_itself_cannot_send_is_no_word_of_postgres(kept: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="DataError"):
        kept.save(replace(ROW, title="a\0b"), soon())
    assert kept.save(ROW, soon()).is_new


DROP_ROW = """
    CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER drop_row BEFORE {} ON ai_content FOR EACH ROW EXECUTE FUNCTION {}();
"""


def test_a_row_that_a_trigger_of_the_owner_drops(kept: Database, rows: Connection) -> None:
    rows.execute(DROP_ROW.format("INSERT", "drop_row").encode())
    with pytest.raises(RecordRefused, match=r"^a trigger of the table keeps no such row$"):
        kept.save(ROW, soon())


@pytest.mark.parametrize("function", ["drop_row", "suppress_redundant_updates_trigger"])
@pytest.mark.parametrize("event_name", ["e", None])
def test_a_trigger_that_drops_the_update_does_not_hide_the_row(
    kept: Database, rows: Connection, function: str, event_name: str | None
) -> None:
    rows.execute(DROP_ROW.format("UPDATE", function).encode())
    row = replace(ROW, event_name=event_name)
    first, again = kept.save(row, soon()), kept.save(row, soon())
    assert (again.id, again.saved_at, again.is_new) == (first.id, first.saved_at, False)
    assert again.stored_ai_data == AI_RESULT


def test_a_known_row_that_the_owner_has_forbidden_since_is_still_there(
    kept: Database, rows: Connection
) -> None:
    first = kept.save(ROW, soon())
    rows.execute("ALTER TABLE ai_content ADD CHECK (category <> 'movies') NOT VALID")
    assert kept.save(ROW, soon()).id == first.id


def test_a_row_from_before_whose_update_a_trigger_drops(kept: Database, rows: Connection) -> None:
    rows.execute(DROP_ROW.format("UPDATE", "drop_row").encode())
    rows.execute("INSERT INTO ai_content (title, channel_id, event_name) VALUES ('t', 'c-1', 'e')")
    record = kept.save(ROW, soon())
    assert not record.is_new
    assert record.callback_url == ROW.callback_url
    assert record.stored_ai_data == json.loads(ROW.ai_data)


SESSIONS = [
    ("datestyle", "'SQL, DMY'"),
    ("datestyle", "'German'"),
    ("timezone", "'Asia/Kolkata'"),
    ("client_encoding", "'SQL_ASCII'"),
    ("client_encoding", "'LATIN1'"),
    ("search_path", "''"),
    ("bytea_output", "'escape'"),
    ("intervalstyle", "'sql_standard'"),
    ("xmloption", "'document'"),
    ("extra_float_digits", "'-15'"),
    ("standard_conforming_strings", "off"),
    ("statement_timeout", "'10s'"),
    ("default_transaction_isolation", "'serializable'"),
    ("row_security", "off"),
]


@pytest.mark.parametrize(("name", "value"), SESSIONS)
def test_whatever_a_session_is_set_to(
    kept: Database, rows: Connection, database: str, name: str, value: str
) -> None:
    rows.execute(f'ALTER DATABASE "{database}" SET {name} = {value}'.encode())
    row = replace(ROW, title="盗梦空间 é", ai_data='{"title":"盗梦空间 é","n":0.1}')
    first, again = kept.save(row, soon()), kept.save(row, soon())
    assert again.id == first.id
    assert again.stored_ai_data == {"title": "盗梦空间 é", "n": 0.1}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.saved_at)
    age = datetime.now(UTC) - datetime.fromisoformat(first.saved_at)
    assert abs(age) < timedelta(minutes=5)  # whatever the time zone
    (found,) = rows.execute("SELECT title FROM public.ai_content").fetchall()
    assert found["title"] == row.title
    kept.note(first.id, None, soon())
    assert kept.save(row, soon()).called_back


@pytest.mark.parametrize(
    ("name", "value"),
    [("PGDATESTYLE", "SQL, DMY"), ("PGCLIENTENCODING", "LATIN1"), ("PGTZ", "Asia/Kolkata")],
)
def test_whatever_the_environment_says_of_sessions(
    kept: Database, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    row = replace(ROW, ai_data='"盗梦空间"')
    assert kept.save(row, soon()).is_new
    assert kept.save(row, soon()).stored_ai_data == "盗梦空间"


@pytest.mark.parametrize("created_at", ["'infinity'", "'-infinity'", "NULL"])
def test_whatever_the_owner_wrote_into_created_at(
    kept: Database, rows: Connection, created_at: str
) -> None:
    kept.save(ROW, soon())
    rows.execute(f"UPDATE ai_content SET created_at = {created_at}".encode())
    saved_at = kept.save(ROW, soon()).saved_at
    assert abs(datetime.now(UTC) - datetime.fromisoformat(saved_at)) < timedelta(minutes=5)


def has_replaced_what_failed(kept: Database) -> bool:
    """As the pool does at once; Postgres knows of a connection before the pool has it."""
    return kept._pool.get_stats()["pool_available"] == 1  # noqa: SLF001


def test_a_kept_connection_that_has_become_read_only_is_given_up(
    postgres: Postgres, database: str, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a primary that was demoted: it says so for as long as it is kept."""
    monkeypatch.setattr(module, "PAUSES", ())  # the first failure of a fresh one is the last
    kept = Database(postgres.url(database))
    rows.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'.encode())
    with pytest.raises(DatabaseUnavailable, match="25006"):
        kept.save(ROW, soon())
    # With one that is as old when it is first used.
    assert until(lambda: has_replaced_what_failed(kept), 20)
    rows.execute("SET default_transaction_read_only = off")
    rows.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only'.encode())
    assert kept.save(ROW, soon()).is_new
    release(kept)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each statement that is sent from now on."""
    sent: list[str] = []
    original = BoundedConnection.run

    def run(self: BoundedConnection, statement: str, *arguments: Any) -> TupleRow | None:
        sent.append(statement)
        return original(self, statement, *arguments)

    monkeypatch.setattr(BoundedConnection, "run", run)
    return sent


def test_a_fresh_connection_that_is_read_only_is_given_up_too(
    postgres: Postgres, database: str, rows: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the seconds after a failover, while a name still stands for the old primary."""
    rows.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'.encode())
    rows.execute("SET default_transaction_read_only = off")

    kept = Database(postgres.url(database))
    monkeypatch.setattr(module, "PAUSES", (60,))
    with pytest.raises(DatabaseUnavailable, match="25006"):  # a pause that is too long is not made
        kept.save(ROW, soon())
    release(kept)
    monkeypatch.setattr(module, "PAUSES", (0.5,))
    kept = Database(postgres.url(database))

    def pause(_: float) -> None:
        # With one that is read-only as well.
        assert until(lambda: has_replaced_what_failed(kept), 20)
        rows.execute(f'ALTER DATABASE "{database}" RESET default_transaction_read_only'.encode())

    waiting = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr(module, "time", waiting)
    assert kept.save(ROW, soon(30)).is_new
    release(kept)


def test_where_all_connections_are_in_use_no_fault_is_named(
    postgres: Postgres, database: str
) -> None:
    kept = Database(postgres.url(database))
    for _ in range(MAX_CONNECTIONS):
        kept._pool.getconn(10)  # noqa: SLF001
    with pytest.raises(DatabaseUnavailable, match=r"^PoolTimeout$"):
        kept.save(ROW, soon(0.1))
    release(kept)


@pytest.mark.parametrize(
    ("sqlstate", "error", "tried"),
    [
        *(("22P05", RecordRefused, 2), ("23505", RecordRefused, 2), ("54000", RecordRefused, 2)),
        *(("42501", DatabaseUnavailable, 1), ("P0001", DatabaseUnavailable, 1)),
    ],
)
def test_what_stays_so_is_not_sent_again(
    postgres: Postgres,
    database: str,
    rows: Connection,
    tries: list[str],
    sqlstate: str,
    error: type[DeliveryError],
    tried: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a refusal it is only looked whether the row is there; there is nothing to cancel."""
    cancelled: list[object] = []
    monkeypatch.setattr(BoundedConnection, "cancel_safe", lambda *_, **__: cancelled.append(1))
    kept = Database(postgres.url(database))
    fail_once(rows, sqlstate)
    with pytest.raises(error) as caught:
        kept.save(ROW, soon())
    assert caught.value.reason == sqlstate
    assert len(tries) == tried
    assert cancelled == []
    assert kept._pool.get_stats()["connections_num"] == 1  # noqa: SLF001 - all on one connection
    release(kept)


@pytest.mark.parametrize(
    "sqlstate",
    ["08P01", "25006", "40001", "53300", "55P03", "57P01", "57014", "58030", "XX000"],
)
def test_what_may_pass_is_sent_again_on_a_fresh_connection(
    postgres: Postgres, database: str, rows: Connection, sqlstate: str
) -> None:
    kept = Database(postgres.url(database))
    fail_once(rows, sqlstate)
    assert kept.save(ROW, soon(20)).is_new
    assert kept._pool.get_stats()["connections_num"] > 1  # noqa: SLF001
    release(kept)


def fail_once(rows: Connection, sqlstate: str) -> None:
    """Let Postgres refuse the next row so, and no other: a sequence is not rolled back."""
    rows.execute("CREATE SEQUENCE inserts")
    rows.execute(
        f"""
        CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('public.inserts') = 1 THEN
                RAISE EXCEPTION 'once' USING ERRCODE = '{sqlstate}';
            END IF;
            RETURN NEW;
        END $$
        """.encode()
    )
    rows.execute(
        "CREATE TRIGGER fail_once BEFORE INSERT ON ai_content"
        " FOR EACH ROW EXECUTE FUNCTION fail_once()"
    )


def test_without_the_schema(postgres: Postgres, empty_database: str, tries: list[str]) -> None:
    """Another try would change nothing."""
    kept = Database(postgres.url(empty_database))
    with pytest.raises(DatabaseUnavailable, match="42P01"):
        kept.save(ROW, soon())
    assert len(tries) == 1
    release(kept)


def test_one_dead_connection_tells_of_the_others(
    postgres: Postgres, database: str, rows: Connection, tries: list[str]
) -> None:
    """Where they died in silence, each would cost five seconds."""
    kept = Database(postgres.url(database))
    taken = [kept._pool.getconn(10) for _ in range(MAX_CONNECTIONS)]  # noqa: SLF001
    for connection in taken:
        kept._pool.putconn(connection)  # noqa: SLF001
    rows.execute(CUT_OFF, [database])
    assert until(lambda: rows.execute(OTHERS, [database]).rowcount == 0)
    assert kept.save(ROW, soon()).is_new
    assert len(tries) == 2
    release(kept)


def test_without_the_unique_index(kept: Database, rows: Connection) -> None:
    rows.execute("DROP INDEX idx_ai_content_delivery")
    with pytest.raises(DatabaseUnavailable, match="42P10"):
        kept.save(ROW, soon())


@pytest.mark.parametrize("url", ["postgresql://h/d?nonsense=1", "postgresql://[h/d"])
def test_a_url_that_libpq_does_not_know_is_a_misconfiguration(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^DATABASE_URL is not a URL that libpq takes$"):
        Database(url)


def test_a_neon_url_that_is_not_pooled_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Database("postgresql://u:secret@ep-x-pooler.eu-central-1.aws.neon.tech/db")
    assert caplog.messages == []
    Database("postgresql://u:secret@ep-x.eu-central-1.aws.neon.tech/db")
    ((logger, _, message),) = caplog.record_tuples
    assert logger == "modelriver"
    warning = {"outcome": "warning", "reason": "DATABASE_URL is not the pooled one"}
    assert json.loads(message) == warning


def test_nothing_is_opened_before_it_is_needed(kept: Database) -> None:
    kept._pool.wait(10)  # noqa: SLF001 - for what it opens by itself
    assert kept._pool.get_stats()["pool_size"] == 0  # noqa: SLF001


def fails_with(kept: Database, reason: str) -> bool:
    """Whether a delivery comes to fail so: before the first connect has, nothing is known."""

    def fails() -> bool:
        with pytest.raises(DatabaseUnavailable) as caught:
            kept.save(ROW, soon(0.3))
        return caught.value.reason == reason

    return until(fails, 20)


def test_unreachable() -> None:
    kept = Database(f"postgresql://u:secret@127.0.0.1:{free_port()}/db")
    assert fails_with(kept, "PoolTimeout connection refused")
    release(kept)


def test_an_unknown_database_is_named_as_the_reason(postgres: Postgres) -> None:
    kept = Database(postgres.url("nowhere"))
    assert fails_with(kept, 'PoolTimeout database "" does not exist')
    release(kept)


def test_what_the_pool_logs_is_not_shown(
    postgres: Postgres, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    test_an_unknown_database_is_named_as_the_reason(postgres)
    assert caplog.messages == []
    assert capfd.readouterr() == ("", "")


def test_a_database_that_comes_up_late() -> None:
    with Postgres() as server:
        server.apply_schema()
        server.stop()
        kept = Database(server.url())
        assert fails_with(kept, "PoolTimeout connection refused")
        server.start()
        assert kept.save(ROW, soon()).is_new
        release(kept)


def test_a_host_whose_first_address_is_silent(postgres: Postgres, database: str) -> None:
    """There is time for the next one, though a connect may take ten seconds, as Neon's may."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, ExitStack() as queued:
        address = silent.getsockname()
        for _ in range(2):  # and a full queue drops what comes after
            waiting = queued.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        both = f"127.0.0.1:{address[1]},127.0.0.1:{postgres.port}"
        kept = Database(postgres.url(database).replace(f"127.0.0.1:{postgres.port}", both))
        assert kept.save(ROW, soon(8)).is_new
        release(kept)


def test_after_a_long_outage_with_many_deliveries_it_opens_connections_again(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a max_waiting, the pool would count those who gave up, and never open one again."""
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 1)
    with Postgres() as server:
        server.apply_schema()
        kept = Database(server.url())
        kept.save(ROW, soon())
        server.stop()
        for _ in range(80):
            with pytest.raises(DatabaseUnavailable):
                kept.save(ROW, soon(0.01))
        assert until(lambda: kept._pool.get_stats()["pool_size"] == 0, 30)  # noqa: SLF001 - its own attempts have ended too
        server.start()
        assert not kept.save(ROW, soon()).is_new
        release(kept)


def test_a_statement_that_is_given_up_is_not_left_behind(
    kept: Database, postgres: Postgres, database: str
) -> None:
    with psycopg.connect(postgres.url(database), autocommit=True) as watcher:
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        with psycopg.connect(postgres.url(database)) as blocker:
            blocker.execute("LOCK TABLE ai_content")
            for _ in range(6):
                with pytest.raises(DatabaseUnavailable):
                    kept.save(ROW, soon(0.3))
            assert until(lambda: not watcher.execute(query, [database]).fetchall())


def test_a_fresh_connection_that_fails_is_tried_again(
    kept: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while Postgres restarts behind its pooler."""
    original, failures = psycopg.Connection.execute, iter([True])

    def execute(self: psycopg.Connection, *arguments: object) -> object:
        if next(failures, False):
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return original(self, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    assert kept.save(ROW, soon()).is_new


def test_a_statement_that_hangs_is_given_up(
    kept: Database, postgres: Postgres, database: str
) -> None:
    with psycopg.connect(postgres.url(database)) as blocker:
        blocker.execute("LOCK TABLE ai_content")
        with pytest.raises(DatabaseUnavailable):
            kept.save(ROW, soon(0.5))
    assert kept.save(ROW, soon()).id


def test_a_database_that_is_frozen_holds_nobody() -> None:
    """Nor is its word waited for that a statement is cancelled."""
    with Postgres() as server:
        server.apply_schema()
        kept = Database(server.url())
        kept.save(ROW, soon())
        server.freeze()
        with pytest.raises(DatabaseUnavailable):
            kept.save(ROW, soon(0.5))
        server.thaw()
        assert not kept.save(ROW, soon()).is_new
        release(kept)


def test_all_kept_connections_dead_at_once(
    kept: Database, postgres: Postgres, database: str, rows: Connection
) -> None:
    """As after Neon's scale to zero: every delivery succeeds all the same, by itself."""
    with ThreadPoolExecutor(8) as threads:
        for round_number in range(3):
            wide = [replace(ROW, channel_id=f"{round_number}-{n}") for n in range(40)]
            list(threads.map(lambda row: kept.save(row, soon()), wide))
            rows.execute(CUT_OFF, [database])
    assert kept.save(ROW, soon()).is_new
    assert len(rows.execute("SELECT FROM ai_content").fetchall()) == 121
