"""Applies `sql/schema.sql`, and tells whether a database and `lib/content.py` are as it says.

The script itself says what is expected: it is applied to an empty schema beside the real one, in a
transaction that is rolled back, and both are compared. So nothing here has to follow a change.
"""

import argparse
import dataclasses
import re
import types
import typing
from datetime import date, datetime
from uuid import uuid4

from lib.content import TABLE, AiContent
from lib.local.commands.progress import waiting_for
from lib.local.database import Connection, connected, place
from lib.local.environment import environment, setting
from lib.local.problem import Problem
from lib.local.standins.postgres import SCHEMA
from lib.settings import database_url

NOTED = ("id", "created_at", "updated_at", "called_back_at", "callback_error")
"""Columns that the statements use besides those of AiContent."""

_NUMBERS = {"smallint", "integer", "bigint", "numeric", "real", "double precision"}
_TAKEN_BY: dict[type, set[str]] = {
    bool: {"boolean"},
    int: _NUMBERS,
    float: {"numeric", "real", "double precision"},
    date: {"date"},
    datetime: {"timestamp with time zone", "timestamp without time zone"},
}
"""The columns that take a field of a type; a text fits all others."""

_SHAPE = """
    SELECT 'column ' || attname AS name,
           format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
           || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') AS definition
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = to_regclass(%(table)s) AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'index ' || relname, regexp_replace(pg_get_indexdef(indexrelid), ' ON .*? USING', '')
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = to_regclass(%(table)s) AND indisvalid
"""

type Shape = dict[str, str]
"""Columns and indexes of a table, each with its definition."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")


def run(arguments: argparse.Namespace) -> int:
    """Apply it, and say what it changed; 1 where things disagree all the same. Raises Problem."""
    variables = environment()
    name = "DATABASE_URL_UNPOOLED" if variables.get("DATABASE_URL_UNPOOLED") else "DATABASE_URL"
    if not variables.get(name):
        raise Problem("set DATABASE_URL_UNPOOLED, Neon's direct connection string")
    url = setting(lambda given: database_url(given, name), variables)
    where = place(url)
    if not arguments.check:
        with waiting_for(f"applying sql/schema.sql to {where}"):
            changes = apply(url)
        _list(f"sql/schema.sql applied to {where}: ", changes, "nothing to change")
    with waiting_for(f"comparing {where}"):
        differences = check(url)
    agree = "sql/schema.sql, lib/content.py and the table agree"
    _list(f"{where}: ", differences, agree)
    return 1 if differences else 0


def _list(begin: str, items: list[str], otherwise: str) -> None:
    print(f"{begin}{otherwise}" if not items else begin.rstrip())
    for item in items:
        print(f"  {item}")


def apply(url: str) -> list[str]:
    """Apply the schema over a direct connection. Returns what it changed. Raises Problem."""
    with connected(url) as connection:
        before = _shape(connection, f"public.{TABLE}")
        connection.execute(SCHEMA.read_bytes())
        after = _shape(connection, f"public.{TABLE}")
    return [
        f"{'changed' if name in before else 'added'} {name}: {definition}"
        for name, definition in after.items()
        if before.get(name) != definition
    ]


def check(url: str) -> list[str]:
    """In what the table and lib/content.py are not as the schema says. Raises Problem."""
    with connected(url) as connection:
        actual = _shape(connection, f"public.{TABLE}")
        expected = _expected(connection)
    if not actual:
        return [f"there is no table {TABLE}"]
    differences = []
    for name, definition in expected.items():
        if name not in actual:
            differences.append(f"the table lacks {name}: {definition}")
        elif actual[name] != definition:
            differences.append(f"{name} is {actual[name]}, and not {definition}")
    return differences + disagreements(expected)


def disagreements(shape: Shape, content: type = AiContent) -> list[str]:
    """In what a dataclass and a table disagree, so that rows would not be stored."""
    columns = {
        name.removeprefix("column "): definition
        for name, definition in shape.items()
        if name.startswith("column ")
    }
    hints = typing.get_type_hints(content)
    names = [field.name for field in dataclasses.fields(content)]
    found = [
        f"lib/content.py has {name}, and sql/schema.sql has no such column"
        for name in names
        if name not in columns
    ]
    found += [
        f"lib/database.py needs {name}, and sql/schema.sql has no such column"
        for name in NOTED
        if name not in columns
    ]
    for name in names:
        if name in columns and not _fits(hints[name], columns[name]):
            kind = getattr(hints[name], "__name__", str(hints[name]))
            found.append(f"lib/content.py has {name}: {kind}, and its column is {columns[name]}")
    found += [
        f"column {name} is {definition}, and lib/content.py does not fill it"
        for name, definition in columns.items()
        if name not in {*names, *NOTED} and definition.endswith("NOT NULL")
    ]
    return found


def _fits(hint: object, definition: str) -> bool:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if types.NoneType in kinds and " NOT NULL" in definition:
        return False
    column = re.split(r" NOT NULL| DEFAULT |\(", definition)[0]
    return all(
        column in _TAKEN_BY.get(kind, {column}) and (kind is not str or column not in _NUMBERS)
        for kind in kinds
        if isinstance(kind, type)
    )


def _shape(connection: Connection, table: str) -> Shape:
    rows = connection.execute(_SHAPE.encode(), {"table": table}).fetchall()
    return {row["name"]: row["definition"] for row in rows}


def _expected(connection: Connection) -> Shape:
    """What the script makes of an empty schema."""
    scratch = f"schema_check_{uuid4().hex}"
    script = re.sub(r"(?m)^(BEGIN|COMMIT);$", "", SCHEMA.read_text(encoding="utf-8"))
    script = script.replace("public.", f"{scratch}.")
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE SCHEMA {scratch}".encode())
        connection.execute(script.encode())
        return _shape(connection, f"{scratch}.{TABLE}")
