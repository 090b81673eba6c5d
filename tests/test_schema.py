from pathlib import Path

import psycopg
import pytest

from lib.local.postgres import SCHEMA, Postgres
from tests.conftest import Connection, connect

MOVE_DUPLICATES = SCHEMA.with_name("move-duplicates.sql")
VENDORS = """
    CREATE TABLE ai_content (
      id UUID DEFAULT gen_random_uuid() PRIMARY KEY, title TEXT NOT NULL, body TEXT,
      category TEXT DEFAULT 'general', metadata JSONB DEFAULT '{}', channel_id TEXT,
      event_name TEXT, created_at TIMESTAMPTZ DEFAULT now(), updated_at TIMESTAMPTZ DEFAULT now()
    );
    CREATE INDEX idx_ai_content_channel ON ai_content(channel_id);
    CREATE INDEX idx_ai_content_event ON ai_content(event_name);
    CREATE INDEX idx_ai_content_created ON ai_content(created_at DESC);
"""
SHAPE = """
    SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns
    WHERE table_name = 'ai_content'
    UNION ALL
    SELECT indexname, indexdef, '', '' FROM pg_indexes WHERE tablename = 'ai_content' ORDER BY 1
"""


def apply(connection: Connection, script: Path = SCHEMA) -> None:
    connection.execute(script.read_bytes())


def shape(connection: Connection) -> list[dict[str, object]]:
    return connection.execute(SHAPE).fetchall()


@pytest.fixture
def empty(postgres: Postgres, empty_database: str) -> str:
    return postgres.url(empty_database)


def test_applied_twice_it_is_as_applied_once(empty: str, rows: Connection) -> None:
    with connect(empty) as connection:
        apply(connection)
        once = shape(connection)
        apply(connection)
        assert shape(connection) == once == shape(rows)


def test_over_the_vendors_table_it_keeps_every_row(empty: str, rows: Connection) -> None:
    with connect(empty) as connection:
        connection.execute(VENDORS)
        connection.execute(
            "INSERT INTO ai_content (title, channel_id, event_name)"
            " VALUES ('a', 'c', 'e'), ('b', 'c', NULL), ('c', NULL, 'e'), ('d', NULL, 'e')"
        )
        before = connection.execute("SELECT * FROM ai_content ORDER BY title").fetchall()
        apply(connection)
        assert shape(connection) == shape(rows)
        after = connection.execute("SELECT * FROM ai_content ORDER BY title").fetchall()
    assert [{name: row[name] for name in before[0]} for row in after] == before


def test_duplicates_from_before_are_named_and_nothing_is_changed(
    empty: str, rows: Connection
) -> None:
    with connect(empty) as connection:
        connection.execute(VENDORS)
        connection.execute(
            "INSERT INTO ai_content (title, channel_id, event_name, created_at) VALUES"
            " ('second', 'c', 'e', now()), ('first', 'c', 'e', now() - interval '1 hour'),"
            " ('third', 'c', 'e', now()), ('other', 'd', NULL, now()), ('none', NULL, NULL, now()),"
            " ('none', NULL, NULL, now()), ('again', 'd', NULL, now() + interval '1 second')"
        )
        untouched = shape(connection)
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            apply(connection)
        connection.execute("ROLLBACK")
        assert "2 channel and event pairs more than once" in str(caught.value)
        assert MOVE_DUPLICATES.name in str(caught.value.diag.message_hint)
        assert shape(connection) == untouched

        for _ in range(2):
            apply(connection, MOVE_DUPLICATES)
            apply(connection)
        assert shape(connection) == shape(rows)
        kept = connection.execute("SELECT title FROM ai_content ORDER BY 1").fetchall()
        moved = connection.execute(
            "SELECT content->>'title' AS title FROM ai_content_duplicates ORDER BY 1"
        ).fetchall()
    assert [row["title"] for row in kept] == ["first", "none", "none", "other"]
    assert [row["title"] for row in moved] == ["again", "second", "third"]


def test_it_gives_up_rather_than_stand_in_the_way(
    postgres: Postgres, database: str, rows: Connection
) -> None:
    script = SCHEMA.read_text().replace("'10s'", "'100ms'").encode()
    with psycopg.connect(postgres.url(database)) as blocker:
        blocker.execute("LOCK TABLE ai_content")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            rows.execute(script)
