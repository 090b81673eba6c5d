"""One signed AI result to any receiver: local, preview or production."""

import json
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests

from lib.database import TABLE
from lib.jsontext import Json
from lib.local.commands.progress import waiting_for
from lib.local.commands.schema import NotApplied, place
from lib.local.standins import wire
from lib.local.standins.modelriver import DELIVERY_TIMEOUT, ModelRiver, Scheme

PRESETS: dict[str, Json] = {
    "structured": {"title": "Inception", "description": "Dreams within dreams.", "year": 2010},
    "chat": {"choices": [{"message": {"role": "assistant", "content": "A chat completion."}}]},
    "text": "Bare text.",
    "chinese": {"title": "盗梦空间 🎬", "description": "梦境 — “secrets” 👩‍🚀"},
    "hostile": {
        "title": "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "description": "NUL \0, a cut emoji \ud83d, '; DROP TABLE ai_content; --",
    },
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
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return wire.read(text)
    except OSError as error:
        raise NotSent(f"cannot read {name}: {error.strerror}; nothing was sent") from None
    except UnicodeDecodeError as error:
        raise NotSent(f"{name} is not UTF-8 at byte {error.start}; nothing was sent") from None
    except json.JSONDecodeError as error:
        raise NotSent(f"{name} is not JSON: {error}; nothing was sent") from None


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
        try:
            delivery = river.sign(payload, scheme)
        except (ValueError, RecursionError):
            raise NotSent("a number or the nesting is beyond JSON; nothing was sent") from None
    headers = dict(delivery.headers)
    if bypass := environment.get("VERCEL_AUTOMATION_BYPASS_SECRET"):
        headers["x-vercel-protection-bypass"] = bypass
    answer, seconds = _post(url, delivery.body, headers)
    # Whoever answers may be anybody: what it says must not steer the terminal.
    words = "".join(each if each.isprintable() else " " for each in answer.text[:200])
    print(f"{answer.status_code} {words}  {seconds * 1000:.0f} ms", flush=True)
    taken = {200, 503} if expect_row else range(200, 300)
    if answer.status_code not in taken:
        raise NotSent(f"{_shown(url)} answered {answer.status_code}")
    if not expect_row:
        return
    with waiting_for("looking for the row"):
        record_id = _row(environment.get("DATABASE_URL", ""), channel_id)
    print(f"row {record_id}, removed again")


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[requests.Response, float]:
    """The answer, and after how many seconds it was there. Raises NotSent."""
    began = time.monotonic()
    try:
        with waiting_for(f"{len(body):,} bytes to {_shown(url)}"):
            answer = requests.post(
                url,
                data=body,
                headers=dict(headers),
                timeout=DELIVERY_TIMEOUT,
                allow_redirects=False,  # ModelRiver does not follow any: Vercel's login is behind
            )
    except requests.RequestException as error:
        why = "no answer in time" if isinstance(error, requests.Timeout) else _reason(error)
        raise NotSent(f"cannot reach {_shown(url)}: {why}") from None
    return answer, time.monotonic() - began


def _reason(error: BaseException) -> str:
    """What the system said, which requests wraps several times."""
    inner: BaseException | None = error
    while inner:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__


def _shown(url: str) -> str:
    """The URL without its query, which may hold the secret of a protected deployment."""
    parts = urlsplit(url)
    return parts._replace(query="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def _row(database_url: str, channel_id: str) -> str:
    """The id of the channel's row, which is removed."""
    query = f"DELETE FROM {TABLE} WHERE channel_id = %s RETURNING id::text".encode()
    try:
        where = place(database_url) if database_url else ""
    except NotApplied as error:
        raise NotSent(f"DATABASE_URL: {error}") from None
    if not where:
        raise NotSent("set DATABASE_URL to look the row up")
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
        raise NotSent(f"cannot look the row up in {where}: {type(error).__name__}") from None
    raise NotSent(f"no row for {channel_id} in {where} within {SEEN_WITHIN} s")
