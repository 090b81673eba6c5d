"""The main job, for everybody to see: three AI results, all that went over the wires, the rows."""

import argparse
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping

from lib.jsontext import Json
from lib.local.problem import Problem
from lib.local.standins.deliveries import MOVIE
from lib.local.standins.modelriver import Callback, Delivery
from lib.local.standins.stack import Stack
from lib.local.until import until


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(_: argparse.Namespace) -> int:
    """Start all parts, deliver, show. Raises Problem where something is not as promised."""
    began = time.monotonic()
    say("1", "Starting Postgres, the function on the Vercel runtime, and a stand-in ModelRiver")
    with Stack() as stack:
        show("function", stack.serve().url)
        show("database", stack.url)
        show("ready in", f"{time.monotonic() - began:.1f} s")
        _deliver_three(stack)
        _show_table(stack)
        expect(stack.vercel.output == "", "nothing unforeseen in the function's output")
    well = paint("\nAll came out as promised.", "1;32")
    print(well, "Next, to send AI results of your own and to watch them: make dev")
    return 0


def _deliver_three(stack: Stack) -> None:
    modelriver = stack.modelriver
    first = modelriver.sign(modelriver.event(MOVIE))
    _deliver(stack, "2", "An AI result, signed as documented", first)
    nested = modelriver.nested(modelriver.event("Just text: 盗梦空间 🎬", event=None))
    second = modelriver.sign(nested, "timestamped")
    _deliver(stack, "3", "Bare text in the nested envelope, signed with a timestamp", second)
    chat: Json = {"choices": [{"message": {"content": "The same one, delivered twice."}}]}
    twice = modelriver.sign(modelriver.event(chat))
    _deliver(stack, "4", "A chat completion", twice)
    again = "The same delivery once more: no second row, no second callback"
    _deliver(stack, "5", again, twice, new_callbacks=0)


def _deliver(
    stack: Stack, number: str, what: str, delivery: Delivery, new_callbacks: int = 1
) -> None:
    """Deliver, and show what went over each wire and where it ended."""
    say(number, what)
    lines, seen = len(stack.vercel.log), len(stack.modelriver.callbacks)
    reply = stack.modelriver.deliver(stack.vercel.url, delivery)
    payload = json.loads(delivery.body)
    log = _log_line(stack, lines)
    _show_request(stack.vercel.url, delivery, payload)
    show("← answer", f"{reply.status} {reply.content.decode()}  {milliseconds(reply.seconds)}")
    expect(reply.status == 200, f"status 200, and not {reply.status}: {log}")

    callbacks = stack.modelriver.callbacks[seen:]
    expect(len(callbacks) == new_callbacks, f"{new_callbacks} callbacks, not {len(callbacks)}")
    rows = stack.rows(payload["channel_id"])
    expect(len(rows) == 1, f"one row for this delivery, and not {len(rows)}")
    expect(rows[0]["called_back_at"] is not None, "the callback noted on the row")
    for callback in callbacks:
        _show_callback(stack.modelriver.callback_url(callback.channel_id), callback)
        expect(callback.content["task_id"] == f"neon_{rows[0]['id']}", "the row's id in task_id")
    if not callbacks:
        show("→ callback", "none")
    show("row", f"{rows[0]['id']}  title {rows[0]['title']!r}")
    show("log", log)


def _show_request(url: str, delivery: Delivery, payload: Mapping[str, Json]) -> None:
    show("→ POST", url)
    for name, value in delivery.headers.items():
        if "ignature" in name or "imestamp" in name:
            show("", f"{name}: {value}")
    show("", json.dumps(payload, ensure_ascii=False))


def _show_callback(url: str, callback: Callback) -> None:
    show("→ callback", f"POST {url[:60]}…")
    show("", json.dumps(dict(callback.content), ensure_ascii=False))
    expect(not callback.problems, f"a callback as documented, but: {callback.problems}")


def _log_line(stack: Stack, already: int) -> str:
    """The delivery's own line, which comes after its answer."""
    until(lambda: len(stack.vercel.log) > already)
    expect(len(stack.vercel.log) == already + 1, "one log line for the delivery")
    return stack.vercel.log[-1]


def _show_table(stack: Stack) -> None:
    say("6", "What is in the table now")
    rows = stack.connection.execute("SELECT * FROM ai_content ORDER BY created_at").fetchall()
    for row in rows:
        body = textwrap.shorten(row["body"], 44, placeholder="…")
        noted = f"called back {row['called_back_at']:%T}"
        show(str(row["id"])[:8], f"{row['title']:<10} {body:<45} {noted}")
    expect(len(rows) == 3, f"3 rows, and not {len(rows)}")


def expect(condition: bool, what: str) -> None:
    """Raises Problem where the condition does not hold."""
    if not condition:
        raise Problem(f"expected {what}")


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
