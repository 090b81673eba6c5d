import dataclasses
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lib.content import AiContent
from lib.local.__main__ import main
from lib.local.commands import schema
from lib.local.database import Connection, connect
from lib.local.standins.postgres import SCHEMA, Postgres

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


type Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    empty: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", empty)

    def run(*options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lib.local", "schema", *options])
        status = main()
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def test_the_command_says_what_it_changed(command: Command, empty: str) -> None:
    with connect(empty) as connection:
        connection.execute(VENDORS)
    status, out, err = command()
    assert (status, err) == (0, "")
    assert "added column ai_data: jsonb" in out
    assert "added index idx_ai_content_delivery: CREATE UNIQUE INDEX" in out
    assert "column title" not in out
    assert "the table agree" in out

    status, out, err = command()
    assert (status, err) == (0, "")
    assert "nothing to change" in out


SPOILERS = {
    "DROP TABLE ai_content": "there is no table ai_content",
    "ALTER TABLE ai_content DROP COLUMN ai_data": "the table lacks column ai_data: jsonb",
    "ALTER TABLE ai_content ALTER title DROP NOT NULL": "column title is text, and not text NOT",
    "ALTER TABLE ai_content ALTER body TYPE varchar(9)": "column body is character varying(9)",
    "DROP INDEX idx_ai_content_delivery": "the table lacks index idx_ai_content_delivery",
}


@pytest.mark.parametrize(("spoiler", "said"), SPOILERS.items(), ids=SPOILERS.values())
def test_check_says_in_what_the_table_differs(
    command: Command, empty: str, spoiler: str, said: str
) -> None:
    with connect(empty) as connection:
        apply(connection)
        connection.execute("ALTER TABLE ai_content ADD COLUMN of_their_own INT")
        assert command("--check")[0] == 0
        connection.execute(spoiler.encode())
        before = shape(connection)
        status, out, _ = command("--check")
        assert (status, shape(connection)) == (1, before)
        schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'schema_check%'"
        assert connection.execute(schemas).fetchall() == []
    assert said in out


def of(**types: Any) -> type:
    """AiContent with other fields besides."""
    fields = {field.name: str for field in dataclasses.fields(AiContent)} | types
    return dataclasses.make_dataclass("AiContent", fields.items())


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (of(size=int | None), {}, "lib/content.py has size, and sql/schema.sql has no such column"),
        (of(size=int | None), {"size": "integer"}, ""),
        (of(size=int | None), {"size": "integer NOT NULL"}, "size: int | None, and its column is"),
        (of(size=int), {"size": "integer NOT NULL"}, ""),
        (of(size=int), {"size": "text"}, "size: int, and its column is text"),
        (of(size=str), {"size": "bigint"}, "size: str, and its column is bigint"),
        (of(score=float), {"score": "numeric(5,2) NOT NULL DEFAULT 0"}, ""),
        (of(good=bool), {"good": "integer"}, "good: bool, and its column is integer"),
        (of(at=datetime), {"at": "timestamp with time zone"}, ""),
        (of(tags=list[str]), {"tags": "text[]"}, ""),
        (of(), {"owner": "text NOT NULL"}, "column owner is text NOT NULL, and lib/content.py"),
        (of(), {"owner": "text NOT NULL DEFAULT ''::text"}, ""),
        (of(), {"callback_error": None}, "lib/database.py needs callback_error"),
    ],
)
def test_the_dataclass_and_the_table(
    content: type, column: dict[str, str | None], said: str
) -> None:
    columns = {"column title": "text NOT NULL"} | {
        f"column {field.name}": "text" for field in dataclasses.fields(AiContent)
    }
    columns |= {f"column {name}": "text" for name in schema.NOTED}
    columns |= {f"column {name}": kind for name, kind in column.items() if kind}
    for name, kind in column.items():
        if kind is None:
            del columns[f"column {name}"]
    found = schema.disagreements(columns, content)
    assert bool(found) == bool(said)
    assert said in "".join(found)


def test_a_database_that_cannot_be_asked(
    command: Command, monkeypatch: pytest.MonkeyPatch, postgres: Postgres
) -> None:
    for url, said in {
        postgres.url("nowhere"): '"nowhere" does not exist',
        "postgresql://u:dbsecret@127.0.0.1:1/d": "127.0.0.1:1/d: ",
        "nonsense": "DATABASE_URL_UNPOOLED is not a postgresql:// URL",
    }.items():
        monkeypatch.setenv("DATABASE_URL_UNPOOLED", url)
        for options in ([], ["--check"]):
            status, out, err = command(*options)
            assert (status, out, err.count("\n")) == (1, "", 1)
            assert said in err
            assert "dbsecret" not in err
    monkeypatch.delenv("DATABASE_URL_UNPOOLED")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert "DATABASE_URL_UNPOOLED" in command()[2]
