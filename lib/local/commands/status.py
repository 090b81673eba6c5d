"""How the deployment is doing, read from its database."""

import argparse
import json

from psycopg.rows import DictRow

from lib.content import TABLE
from lib.jsontext import Json
from lib.local.commands.progress import waiting_for
from lib.local.database import connected
from lib.local.environment import environment, setting
from lib.settings import database_url

OVERDUE = 300
"""Seconds after which a record that ModelRiver has not taken is a fault: nobody waits any more."""
LISTED = 20

# ModelRiver keeps its dead letters for 30 days; what is older, nobody can have called back. Rows
# without a callback_url are from before this receiver.
_FIGURES = f"""
    SELECT count(*) FILTER (WHERE created_at > now() - interval '1 hour') AS rows_last_hour,
           count(*) FILTER (WHERE created_at > now() - interval '1 day') AS rows_last_day,
           count(called_back_at) FILTER (WHERE created_at > now() - interval '1 day')
               AS called_back_last_day,
           round((percentile_cont(0.5) WITHIN GROUP (ORDER BY waited))::numeric, 3)::float8
               AS median_seconds,
           round((percentile_cont(0.95) WITHIN GROUP (ORDER BY waited))::numeric, 3)::float8
               AS p95_seconds,
           count(*) FILTER (WHERE called_back_at IS NULL AND callback_url IS NOT NULL)
               AS not_called_back_count
    FROM (
        SELECT created_at, called_back_at, callback_url,
               CASE WHEN created_at > now() - interval '1 day'
                    THEN extract(epoch FROM called_back_at - created_at) END AS waited
        FROM {TABLE} WHERE created_at > now() - interval '30 days'
    ) AS kept
"""
_WAITING = f"""
    SELECT id::text, channel_id, event_name, callback_error AS reason,
           extract(epoch FROM now() - created_at)::int AS seconds
    FROM {TABLE}
    WHERE called_back_at IS NULL AND callback_url IS NOT NULL
      AND created_at > now() - interval '30 days'
    ORDER BY created_at LIMIT {LISTED}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Print how it is; 1 where something is unanswered for too long. Raises Problem."""
    url = setting(database_url, environment())
    with waiting_for("asking the database"):
        figures, waiting = _read(url)
    overdue = any(row["seconds"] > OVERDUE for row in waiting)
    if arguments.json:
        state: dict[str, Json] = {**figures, "not_called_back": [*waiting], "overdue": overdue}
        print(json.dumps(state))
    else:
        _show(figures, waiting)
    return int(overdue)


def _show(figures: DictRow, waiting: list[DictRow]) -> None:
    count = figures.pop("not_called_back_count")
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<22} {'-' if value is None else value}")
    print(f"{'not called back':<22} {count or 'none'}")
    for row in waiting:
        reason = row["reason"] or "not tried to the end yet"
        print(f"  {_span(row['seconds']):>8}  {row['id']}  {reason}")
    if count > len(waiting):
        print(f"  and {count - len(waiting)} younger ones")


def _read(url: str) -> tuple[DictRow, list[DictRow]]:
    with connected(url) as connection:
        figures = connection.execute(_FIGURES.encode()).fetchone() or {}
        return figures, connection.execute(_WAITING.encode()).fetchall()


def _span(seconds: int) -> str:
    """A time as people say it, in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
