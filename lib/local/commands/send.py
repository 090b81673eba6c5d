"""One signed AI result to any receiver: local, preview or production."""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lib.content import TABLE
from lib.jsontext import Json
from lib.local.commands.progress import waiting_for
from lib.local.commands.running import Running
from lib.local.environment import environment
from lib.local.problem import Problem
from lib.local.standins import wire
from lib.local.standins.deliveries import DELIVERY_TIMEOUT, ENVELOPES, PRESETS, event
from lib.local.standins.saved import Saved
from lib.local.standins.signing import SCHEMES, Scheme, sign
from lib.local.until import until

if TYPE_CHECKING:
    import requests

DEFAULT_ORIGIN = "https://api.modelriver.com"
PATH = "/api/modelriver"
"""Where the function is, on any host."""
SEEN_WITHIN = 15
"""Seconds for the row to be seen over another connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = "of the receiver: its host will do; by default the make dev that runs"
    parser.add_argument("url", nargs="?", default="", help=where)
    what = parser.add_mutually_exclusive_group()
    kinds = "an AI result that is made already; structured is the default"
    what.add_argument("--preset", choices=list(PRESETS), default="structured", help=kinds)
    file = "an AI result as JSON, or a delivery that the console saved; - is standard input"
    what.add_argument("--file", help=file)
    envelope = "what the AI result is put in; by default what goes with the scheme"
    parser.add_argument("--envelope", choices=list(ENVELOPES), help=envelope)
    scheme = "how it is signed; documented is the default"
    parser.add_argument("--scheme", choices=SCHEMES, default="documented", help=scheme)
    row = "look for the row in DATABASE_URL, and remove it again"
    parser.add_argument("--expect-row", action="store_true", help=row)


def run(arguments: argparse.Namespace) -> int:
    """Send it, as asked for. Raises Problem."""
    variables = environment()
    running = None if arguments.url else Running.now()
    if running:
        variables = running.variables(variables)
    elif not arguments.url:
        raise Problem("make dev does not run; to send elsewhere: make send URL=…")
    url = running.url if running else full_url(arguments.url)
    content = read_file(arguments.file) if arguments.file else PRESETS[arguments.preset]
    saved = Saved.of(content)
    if saved and arguments.expect_row:
        raise Problem("a saved delivery has a channel of its own, whose row stays: no --expect-row")
    channel_id = f"smoke-{uuid.uuid4()}"
    if not saved:
        saved = _saved(content, variables, arguments.scheme, arguments.envelope, channel_id)
    try:
        _deliver(url, saved, variables, channel_id if arguments.expect_row else "")
    finally:
        if running:
            named = saved.payload.get("channel_id")
            print(f"console  {running.console}/#{named if isinstance(named, str) else ''}")
    return 0


def full_url(url: str) -> str:
    """What a person types for short, with its scheme and the function's path."""
    if "://" not in url:
        host = url.partition("/")[0].partition(":")[0]
        url = f"{'http' if host in {'localhost', '127.0.0.1'} else 'https'}://{url}"
    parts = urlsplit(url)
    return parts._replace(path=parts.path or PATH).geturl()


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
    saved = _saved(ai_result, environment, scheme, None, channel_id)
    _deliver(url, saved, environment, channel_id if expect_row else "")


def _saved(
    ai_result: Json,
    variables: Mapping[str, str],
    scheme: Scheme,
    envelope: str | None,
    channel_id: str,
) -> Saved:
    """To be called back at the first of the origins."""
    origins = variables.get("MODELRIVER_CALLBACK_ORIGINS", "").replace(",", " ").split()
    url = f"{(origins or [DEFAULT_ORIGIN])[0]}/v1/callback/{channel_id}"
    payload = event(ai_result, channel_id=channel_id, callback_url=url, event="smoke_test")
    name = envelope or ("documented" if scheme == "documented" else "nested")
    return Saved(ENVELOPES[name](payload), scheme)


def _deliver(url: str, saved: Saved, variables: Mapping[str, str], row_of: str) -> None:
    """`row_of` is the channel whose row is expected, empty for none."""
    secrets = variables.get("MODELRIVER_WEBHOOK_SECRET", "").replace(",", " ").split()
    if not secrets:
        raise Problem("set MODELRIVER_WEBHOOK_SECRET; nothing was sent")
    try:
        delivery = sign(saved.payload, saved.scheme, secrets[0])
    except (ValueError, RecursionError):
        raise Problem("a number or the nesting is beyond JSON; nothing was sent") from None
    headers = dict(delivery.headers)
    if bypass := variables.get("VERCEL_AUTOMATION_BYPASS_SECRET"):
        headers["x-vercel-protection-bypass"] = bypass
    answer, seconds = _post(url, delivery.body, headers)
    print(f"{answer.status_code} {_words(answer)}  {seconds * 1000:.0f} ms", flush=True)
    taken = {200, 503} if row_of else {*range(200, 300)}
    if answer.status_code not in taken:
        raise Problem(f"{_shown(url)} answered {answer.status_code}")
    if row_of:
        with waiting_for("looking for the row"):
            record_id = _remove_row(variables.get("DATABASE_URL", ""), row_of)
        print(f"row {record_id}, removed again")


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
