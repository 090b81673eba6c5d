"""The main job, for everybody to see: three AI results, all that went over the wires, the rows."""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping
from contextlib import ExitStack

import psycopg
from psycopg.rows import DictRow, dict_row

from lib.jsontext import Json
from lib.local.standins.modelriver import Delivery, ModelRiver
from lib.local.standins.pgbouncer import pooled
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import Vercel

MOVIE: Json = {
    "title": "Inception",
    "description": "A thief who steals secrets through dreams.",
    "year": 2010,
}


class Broken(Exception):
    """Something did not come out as promised."""


def run() -> None:
    """Start all parts, deliver, show. Raises Broken, or PartMissing."""
    with ExitStack() as parts:
        began = time.monotonic()
        say("1", "Starting Postgres, the function on the Vercel runtime, and a stand-in ModelRiver")
        postgres = parts.enter_context(Postgres())
        database_url = pooled(postgres, parts)
        postgres.apply_schema()
        modelriver = parts.enter_context(ModelRiver())
        settings = {**modelriver.settings, "DATABASE_URL": database_url}
        vercel = parts.enter_context(Vercel(settings))
        show("function", vercel.url)
        show("database", database_url)
        show("ready in", f"{time.monotonic() - began:.1f} s")

        stage = _Stage(modelriver, vercel, postgres.url())
        first = modelriver.event(MOVIE)
        stage.deliver("2", "An AI result, signed as documented", modelriver.sign(first), 1)
        nested = modelriver.nested(modelriver.event("Just text: 盗梦空间 🎬", event=None))
        stage.deliver(
            "3",
            "Bare text in the nested envelope, signed with a timestamp",
            modelriver.sign(nested, "timestamped"),
            1,
        )
        chat: Json = {"choices": [{"message": {"content": "The same one, delivered twice."}}]}
        twice = modelriver.sign(modelriver.event(chat))
        stage.deliver("4", "A chat completion", twice, 1)
        stage.deliver(
            "5", "The same delivery once more: no second row, no second callback", twice, 0
        )

        say("6", "What is in the table now")
        rows = stage.rows("ORDER BY created_at")
        for row in rows:
            title, body = row["title"], textwrap.shorten(row["body"], 44, placeholder="…")
            show(
                str(row["id"])[:8], f"{title:<10} {body:<45} called back {row['called_back_at']:%T}"
            )
        expect(len(rows) == 3, f"3 rows, and not {len(rows)}")
        expect(vercel.output == "", "nothing unforeseen in the function's output")
        print(
            paint("\nAll came out as promised.", "1;32"),
            "Next: make test, or README.md to deploy it.",
        )


class _Stage:
    def __init__(self, modelriver: ModelRiver, vercel: Vercel, direct_url: str) -> None:
        self._modelriver = modelriver
        self._vercel = vercel
        self._direct_url = direct_url

    def rows(self, clause: str, *parameters: object) -> list[DictRow]:
        with psycopg.connect(self._direct_url, row_factory=dict_row) as connection:
            query = f"SELECT * FROM ai_content {clause}".encode()
            return connection.execute(query, parameters).fetchall()

    def deliver(self, number: str, what: str, delivery: Delivery, new_callbacks: int) -> None:
        """Deliver, and show what went over each wire and where it ended."""
        say(number, what)
        lines, seen = len(self._vercel.log), len(self._modelriver.callbacks)
        reply = self._modelriver.deliver(self._vercel.url, delivery)
        payload = json.loads(delivery.body)
        log = self._log_line(lines)
        self._show_request(delivery, payload)
        show("← answer", f"{reply.status} {reply.content.decode()}  {milliseconds(reply.seconds)}")
        expect(reply.status == 200, f"status 200, and not {reply.status}: {log}")

        callbacks = self._modelriver.callbacks[seen:]
        expect(len(callbacks) == new_callbacks, f"{new_callbacks} callbacks, not {len(callbacks)}")
        rows = self.rows("WHERE channel_id = %s", payload["channel_id"])
        expect(len(rows) == 1, f"one row for this delivery, and not {len(rows)}")
        expect(rows[0]["called_back_at"] is not None, "the callback noted on the row")
        for callback in callbacks:
            show("→ callback", f"POST {self._modelriver.callback_url(callback.channel_id)[:60]}…")
            show("", json.dumps(dict(callback.content), ensure_ascii=False))
            expect(not callback.problems, f"a callback as documented, but: {callback.problems}")
            expect(
                callback.content["task_id"] == f"neon_{rows[0]['id']}", "the row's id in task_id"
            )
        if not callbacks:
            show("→ callback", "none")
        show("row", f"{rows[0]['id']}  title {rows[0]['title']!r}")
        show("log", log)

    def _show_request(self, delivery: Delivery, payload: Mapping[str, Json]) -> None:
        show("→ POST", self._vercel.url)
        for name, value in delivery.headers.items():
            if "ignature" in name or "imestamp" in name:
                show("", f"{name}: {value}")
        show("", json.dumps(payload, ensure_ascii=False))

    def _log_line(self, already: int) -> str:
        """The delivery's own line, which comes after its answer."""
        give_up_at = time.monotonic() + 5
        while len(self._vercel.log) == already and time.monotonic() < give_up_at:
            time.sleep(0.01)
        expect(len(self._vercel.log) == already + 1, "one log line for the delivery")
        return self._vercel.log[-1]


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise Broken(f"expected {what}")


def milliseconds(seconds: float) -> str:
    return paint(f"{seconds * 1000:.1f} ms", "33")


def say(number: str, what: str) -> None:
    print(f"\n{paint(number, '1;36')} {paint(what, '1')}")


def show(label: str, value: str) -> None:
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 16)
    lines = textwrap.wrap(value, width, break_on_hyphens=False) or [""]
    for line in lines:
        print(f"  {paint(f'{label:<11}', '2')} {line}")
        label = ""


def paint(text: str, code: str) -> str:
    """The text in colour, where somebody looks (https://no-color.org)."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
