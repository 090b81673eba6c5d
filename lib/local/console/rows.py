"""The rows that deliveries have become, as Postgres has them."""

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from lib.content import TABLE
from lib.jsontext import Json, parse
from lib.local.console.entry import Text
from lib.local.standins import wire


def row(database_url: str, channel_id: str, event: str | None) -> dict[str, Json]:
    """The row of a channel and event as it stands: its columns in order, or why there is none."""
    query = sql.SQL(
        "SELECT * FROM {} WHERE channel_id = %s AND coalesce(event_name, '') = coalesce(%s, '')"
    ).format(sql.Identifier(TABLE))
    try:
        with _connect(database_url) as connection:
            connection.adapters.register_loader("jsonb", TextLoader)
            connection.adapters.register_loader("json", TextLoader)
            cursor = connection.execute(query, [channel_id, _stored(event)])
            values = cursor.fetchone() or ()
            columns = [(each.name, each.type_code) for each in cursor.description or ()]
            kinds = connection.adapters.types
    except psycopg.Error as error:
        words = error.diag.message_primary or str(error).splitlines()[0]
        return {"columns": [], "problem": f"Postgres was asked for it: {words}"}
    return {
        "columns": [
            {
                "name": name,
                "type": kind.name if (kind := kinds.get(code)) else "",
                "value": None if value is None else _text(str(value)),
            }
            for (name, code), value in zip(columns, values, strict=False)
        ],
        "problem": "",
    }


def select(channel_id: str, event: str | None) -> str:
    """What a person asks Postgres for the row."""
    clause = sql.SQL("event_name IS NULL")
    if event is not None:
        clause = sql.SQL("event_name = {}").format(sql.Literal(_stored(event)))  # type: ignore[assignment]
    query = sql.SQL("SELECT * FROM {} WHERE channel_id = {} AND {};")
    return query.format(sql.Identifier(TABLE), sql.Literal(channel_id), clause).as_string(None)


def channel(database_url: str, row_id: str) -> str:
    """The channel of a row; empty where there is none, or Postgres does not answer."""
    query = sql.SQL("SELECT channel_id FROM {} WHERE id::text = %s").format(sql.Identifier(TABLE))
    try:
        with _connect(database_url) as connection:
            found = connection.execute(query, [row_id.lower()]).fetchone()
    except psycopg.Error:
        return ""
    return str(found[0]) if found else ""


def _connect(database_url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(database_url, autocommit=True, prepare_threshold=None, connect_timeout=5)


def _stored(event: str | None) -> Json:
    """As the function stores it."""
    return parse(wire.write(event).encode())


def _text(value: str) -> dict[str, Json]:
    text = Text.of(value.encode())
    return {"text": text.text, "size": text.size, "cut": text.cut}
