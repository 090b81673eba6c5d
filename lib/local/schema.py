"""Applies `sql/schema.sql`, and tells whether a database is as it says."""

import dataclasses

import psycopg

from lib.content import AiContent
from lib.database import TABLE
from lib.local.postgres import SCHEMA

DELIVERY_INDEX = "idx_ai_content_delivery"
NOTED = ("id", "created_at", "updated_at", "called_back_at", "callback_error")
"""Columns that the statements use besides those of AiContent."""


class NotApplied(Exception):
    """Postgres's own words, which never hold the password."""


def apply(url: str) -> None:
    """Apply the schema over a direct connection. Raises NotApplied."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=15) as connection:
            connection.execute(SCHEMA.read_bytes())
    except psycopg.Error as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        words = error.diag.message_primary or str(error).splitlines()[0]
        raise NotApplied(f"{words}{hint}") from None


def check(url: str) -> str:
    """What of the schema a database lacks, or "" where nothing is missing."""
    needed = {field.name for field in dataclasses.fields(AiContent)} | set(NOTED)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=15) as connection:
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0",
                [TABLE],
            ).fetchall()
            index = connection.execute("SELECT to_regclass(%s)", [DELIVERY_INDEX]).fetchone()
    except psycopg.Error:
        return "it cannot be reached"
    missing = sorted(needed - {name for (name,) in columns})
    if index is None or index[0] is None:
        missing.append(f"the index {DELIVERY_INDEX}")
    return f"without {', '.join(missing)}" if missing else ""
