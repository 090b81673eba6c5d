"""One signed AI result to any receiver: local, preview or production."""

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lib.jsontext import Json
from lib.local.commands.progress import waiting_for
from lib.local.problem import Problem
from lib.local.standins import wire
from lib.local.standins.deliveries import DELIVERY_TIMEOUT, PRESETS, event, nested
from lib.local.standins.signing import SCHEMES, Delivery, Scheme, sign
from lib.local.until import until

if TYPE_CHECKING:
    import requests

DEFAULT_ORIGIN = "https://api.modelriver.com"
SEEN_WITHIN = 15
"""Seconds for the row to be seen over another connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="of the receiver")
    what = parser.add_mutually_exclusive_group()
    kinds = "an AI result that is made already; structured is the default"
    what.add_argument("--preset", choices=list(PRESETS), default="structured", help=kinds)
    what.add_argument("--file", help="an AI result as JSON; - is standard input")
    scheme = "how it is signed; documented is the default"
    parser.add_argument("--scheme", choices=SCHEMES, default="documented", help=scheme)
    row = "look for the row in DATABASE_URL, and remove it again"
    parser.add_argument("--expect-row", action="store_true", help=row)


def run(arguments: argparse.Namespace) -> int:
    """Send it, as asked for. Raises Problem."""
    send(
        arguments.url,
        read_file(arguments.file) if arguments.file else PRESETS[arguments.preset],
        os.environ,
        scheme=arguments.scheme,
        expect_row=arguments.expect_row,
    )
    return 0


def read_file(name: str) -> Json:
    """JSON from a file, or from standard input for "-". Raises Problem with the error's place."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return wire.read(text)
    except OSError as error:
        raise Problem(f"cannot read {name}: {error.strerror}; nothing was sent") from None
    except UnicodeDecodeError as error:
        raise Problem(f"{name} is not UTF-8 at byte {error.start}; nothing was sent") from None
    except json.JSONDecodeError as error:
        raise Problem(f"{name} is not JSON: {error}; nothing was sent") from None


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
    row, and VERCEL_AUTOMATION_BYPASS_SECRET for a protected deployment. Raises Problem.

    The channel is none of ModelRiver's, so ModelRiver refuses the callback; what matters is the
    row, and an answer of 200, or of 503 where ModelRiver was not asked well (its key, say).
    """
    channel_id = f"smoke-{uuid.uuid4()}"
    delivery = _delivery(ai_result, environment, scheme, channel_id)
    headers = dict(delivery.headers)
    if bypass := environment.get("VERCEL_AUTOMATION_BYPASS_SECRET"):
        headers["x-vercel-protection-bypass"] = bypass
    answer, seconds = _post(url, delivery.body, headers)
    print(f"{answer.status_code} {_words(answer)}  {seconds * 1000:.0f} ms", flush=True)
    taken = {200, 503} if expect_row else {*range(200, 300)}
    if answer.status_code not in taken:
        raise Problem(f"{_shown(url)} answered {answer.status_code}")
    if expect_row:
        with waiting_for("looking for the row"):
            record_id = _remove_row(environment.get("DATABASE_URL", ""), channel_id)
        print(f"row {record_id}, removed again")


def _delivery(
    ai_result: Json, environment: Mapping[str, str], scheme: Scheme, channel_id: str
) -> Delivery:
    """Signed with the first secret, to be called back at the first of the origins."""
    secret = environment.get("MODELRIVER_WEBHOOK_SECRET", "").split()
    if not secret:
        raise Problem("set MODELRIVER_WEBHOOK_SECRET; nothing was sent")
    origin = environment.get("MODELRIVER_CALLBACK_ORIGINS", DEFAULT_ORIGIN).split()[0]
    url = f"{origin}/v1/callback/{channel_id}"
    payload = event(ai_result, channel_id=channel_id, callback_url=url, event="smoke_test")
    if scheme != "documented":
        payload = nested(payload)
    try:
        return sign(payload, scheme, secret[0])
    except (ValueError, RecursionError):
        raise Problem("a number or the nesting is beyond JSON; nothing was sent") from None


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple["requests.Response", float]:
    """The answer, and after how many seconds it was there. Raises Problem."""
    import requests  # noqa: PLC0415 - slow to load, and --help need not wait for it

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
        raise Problem(f"cannot reach {_shown(url)}: {why}") from None
    return answer, time.monotonic() - began


def _words(answer: "requests.Response") -> str:
    """Whoever answers may be anybody: what it says must not steer the terminal."""
    return "".join(each if each.isprintable() else " " for each in answer.text[:200])


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


def _remove_row(database_url: str, channel_id: str) -> str:
    """The id of the channel's row, which is removed. Raises Problem where none comes to be seen."""
    from lib.database import TABLE  # noqa: PLC0415 - slow to load, as psycopg is
    from lib.local.database import connected, place  # noqa: PLC0415

    if not database_url:
        raise Problem("set DATABASE_URL to look the row up")
    query = f"DELETE FROM {TABLE} WHERE channel_id = %s RETURNING id::text".encode()
    try:
        with connected(database_url) as connection:
            row = until(
                lambda: connection.execute(query, [channel_id]).fetchone(), SEEN_WITHIN, every=0.5
            )
    except Problem as problem:
        raise Problem(f"cannot look the row up: {problem}") from None
    if not row:
        raise Problem(f"no row for {channel_id} in {place(database_url)} within {SEEN_WITHIN} s")
    return str(row["id"])
