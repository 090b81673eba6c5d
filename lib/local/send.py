"""One signed AI result to any receiver: local, preview or production."""

import json
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import psycopg
import requests

from lib.database import TABLE
from lib.jsontext import Json
from lib.local.modelriver import ModelRiver, Scheme

PRESETS: dict[str, Json] = {
    "structured": {"title": "Inception", "description": "Dreams within dreams.", "year": 2010},
    "chat": {"choices": [{"message": {"content": "A chat completion."}}]},
    "text": "Bare text.",
    "chinese": {"title": "盗梦空间 🎬", "description": "梦境 — “secrets”"},
    "hostile": {"title": "<script>alert(1)</script> \0 '; DROP TABLE ai_content; --"},
    "large": {"title": "4 MB", "text": "x" * 4_000_000},
}
DEFAULT_ORIGIN = "https://api.modelriver.com"
SEEN_WITHIN = 15
"""Seconds for the row to be seen over another connection."""


class NotSent(Exception):
    """It could not be sent, or did not end as expected; the message says what was tried."""


def read_file(name: str) -> Json:
    """JSON from a file, or from standard input for "-". Raises NotSent with the error's place."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        value: Json = json.loads(text)
    except OSError as error:
        raise NotSent(f"cannot read {name}: {error.strerror}") from None
    except ValueError as error:
        raise NotSent(f"{name} is not JSON: {error}; nothing was sent") from None
    return value


def send(
    url: str,
    ai_result: Json,
    environment: Mapping[str, str],
    *,
    scheme: Scheme = "documented",
    expect_row: bool = False,
) -> None:
    """Deliver, and print the answer. With `expect_row`, look the row up, and remove it again.

    From the environment: MODELRIVER_WEBHOOK_SECRET, which is never printed, DATABASE_URL for the
    row, and VERCEL_AUTOMATION_BYPASS_SECRET for a protected deployment. Raises NotSent.

    The channel is none of ModelRiver's, so ModelRiver refuses the callback; what matters is the
    row, and an answer of 200, or of 503 where ModelRiver was not asked well (its key, say). The
    callback's origin is the first of MODELRIVER_CALLBACK_ORIGINS.
    """
    secret = environment.get("MODELRIVER_WEBHOOK_SECRET", "").split()
    if not secret:
        raise NotSent("set MODELRIVER_WEBHOOK_SECRET; nothing was sent")
    channel_id = f"smoke-{uuid.uuid4()}"
    origin = environment.get("MODELRIVER_CALLBACK_ORIGINS", DEFAULT_ORIGIN).split()[0]
    with ModelRiver(secret[0]) as river:
        payload = river.event(
            ai_result,
            channel_id=channel_id,
            event="smoke_test",
            callback_url=f"{origin}/v1/callback/{channel_id}",
        )
        if scheme != "documented":
            payload = river.nested(payload)
        delivery = river.sign(payload, scheme)
    headers = dict(delivery.headers)
    if bypass := environment.get("VERCEL_AUTOMATION_BYPASS_SECRET"):
        headers["x-vercel-protection-bypass"] = bypass
    began = time.monotonic()
    try:
        answer = requests.post(url, data=delivery.body, headers=headers, timeout=30)
    except requests.RequestException as error:
        raise NotSent(f"cannot reach {url}: {type(error).__name__}") from None
    taken = time.monotonic() - began
    print(f"{answer.status_code} {answer.text[:200]}  {taken * 1000:.0f} ms")
    if not expect_row:
        if not answer.ok:
            raise NotSent(f"{url} answered {answer.status_code}")
        return
    record_id = _row(environment.get("DATABASE_URL", ""), channel_id)
    print(f"row {record_id}, removed again")
    if answer.status_code not in {200, 503}:
        raise NotSent(f"{url} answered {answer.status_code}")


def _row(database_url: str, channel_id: str) -> str:
    """The id of the channel's row, which is removed."""
    query = f"DELETE FROM {TABLE} WHERE channel_id = %s RETURNING id::text"
    give_up_at = time.monotonic() + SEEN_WITHIN
    try:
        with psycopg.connect(
            database_url, autocommit=True, prepare_threshold=None, connect_timeout=10
        ) as connection:
            while time.monotonic() < give_up_at:
                if row := connection.execute(query, [channel_id]).fetchone():
                    return str(row[0])
                time.sleep(0.5)
    except psycopg.Error as error:
        raise NotSent(f"cannot look the row up: {type(error).__name__}") from None
    raise NotSent(f"no row for {channel_id} within {SEEN_WITHIN} s")
