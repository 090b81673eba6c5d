"""How the deployment is doing, read from its database."""

import json
from collections.abc import Mapping

import psycopg
from psycopg.rows import dict_row

from lib.database import TABLE
from lib.jsontext import Json

OVERDUE = 300
"""Seconds after which a record that ModelRiver has not taken is a fault: nobody waits any more."""

FIGURES = f"""
    SELECT count(*) FILTER (WHERE created_at > now() - interval '1 hour') AS rows_last_hour,
           count(*) AS rows_last_day,
           count(called_back_at) AS called_back_last_day,
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY waited))::numeric, 3)::float8
               AS median_seconds,
           round((percentile_cont(0.95) WITHIN GROUP (ORDER BY waited))::numeric, 3)::float8
               AS p95_seconds
    FROM (
        SELECT created_at, called_back_at,
               extract(epoch FROM called_back_at - created_at) AS waited
        FROM {TABLE} WHERE created_at > now() - interval '1 day'
    ) AS day
"""
WAITING = f"""
    SELECT id::text, channel_id, event_name, callback_error AS reason,
           extract(epoch FROM now() - created_at)::int AS seconds
    FROM {TABLE}
    WHERE called_back_at IS NULL AND created_at > now() - interval '1 day'
    ORDER BY created_at LIMIT 20
"""


class NotRead(Exception):
    """The database could not be asked."""


def run(environment: Mapping[str, str], *, as_json: bool) -> int:
    """Print the state of the last day; 1 where something is overdue. Raises NotRead."""
    url = environment.get("DATABASE_URL")
    if not url:
        raise NotRead("set DATABASE_URL")
    try:
        with psycopg.connect(
            url, autocommit=True, prepare_threshold=None, connect_timeout=15, row_factory=dict_row
        ) as connection:
            figures = connection.execute(FIGURES).fetchone() or {}
            waiting = connection.execute(WAITING).fetchall()
    except psycopg.Error as error:
        raise NotRead(error.diag.message_primary or str(error).splitlines()[0]) from None
    overdue = any(row["seconds"] > OVERDUE for row in waiting)
    state: dict[str, Json] = {**figures, "not_called_back": [*waiting], "overdue": overdue}
    if as_json:
        print(json.dumps(state))
        return int(overdue)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<22} {'-' if value is None else value}")
    print(f"{'not called back':<22} {len(waiting) or 'none'}")
    for row in waiting:
        print(
            f"  {row['seconds']:>7} s  {row['id']}  {row['reason'] or 'not tried to the end yet'}"
        )
    return int(overdue)
