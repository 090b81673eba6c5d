"""`make status`: what a table says about a deployment."""

import json
import re
import sys

import pytest

from lib.local.__main__ import main
from lib.local.database import Connection
from lib.local.standins.postgres import Postgres


def test_status(
    postgres: Postgres,
    database: str,
    rows: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url(database))

    def status(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lib.local", "status", *options])
        return main(), capsys.readouterr().out

    assert status() == (0, status()[1])
    assert "not called back        none" in status()[1]
    rows.execute(
        "INSERT INTO ai_content"
        " (title, channel_id, callback_url, created_at, called_back_at, callback_error)"
        " VALUES ('a', 'a', 'u', now() - interval '2 hours', now() - interval '2 hours', NULL),"
        " ('b', 'b', 'u', now() - interval '10 seconds', now() - interval '8 seconds', NULL),"
        " ('c', 'c', 'u', now() - interval '60 seconds', NULL, 'callback_unavailable: HTTP 500'),"
        # from before this receiver, and so old that ModelRiver keeps nothing of it any more
        " ('d', 'd', NULL, now() - interval '2 days', NULL, NULL),"
        " ('e', 'e', 'u', now() - interval '31 days', NULL, NULL)"
    )
    code, text = status("--json")
    state = json.loads(text)
    (waiting,) = state.pop("not_called_back")
    assert code == 0
    assert state == {
        "rows_last_hour": 2,
        "rows_last_day": 3,
        "called_back_last_day": 2,
        "median_seconds": 1.0,
        "p95_seconds": 1.9,
        "not_called_back_count": 1,
        "overdue": False,
    }
    assert waiting["reason"] == "callback_unavailable: HTTP 500"
    rows.execute(
        "UPDATE ai_content SET created_at = now() - interval '6 minutes' WHERE title = 'c'"
    )
    code, text = status()
    assert code == 1
    assert re.search(r"6 min  \S+  callback_unavailable: HTTP 500", text)
    rows.execute(
        "INSERT INTO ai_content (title, channel_id, callback_url, created_at)"
        " SELECT 'f', n, 'u', now() - interval '2 days' FROM generate_series(1, 30) AS n"
    )
    code, text = status()
    assert code == 1
    assert "not called back        31" in text
    assert "2 d  " in text.splitlines()[6]  # the oldest first
    assert "and 11 younger ones" in text

    monkeypatch.setenv("DATABASE_URL", "postgresql://u:dbsecret@127.0.0.1:1/d")
    monkeypatch.setattr(sys, "argv", ["lib.local", "status"])
    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("status: 127.0.0.1:1/d: ")
    assert "dbsecret" not in line
