"""The callback: tells ModelRiver what became of an AI result, and tells nobody else.

https://modelriver.com/docs/event-driven-ai
"""

import contextlib
import contextvars
import logging
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from lib.errors import CallbackRefused, CallbackUnavailable
from lib.jsontext import Json, dump
from lib.settings import Origin

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 6.0
"""Seconds, each for one try. What binds all tries together is the deadline given to `send`."""
MAX_ANSWER = 65536
"""Bytes of an answer's body that are read; nothing in it matters."""
MAX_CONCURRENT = 64
"""Callbacks under way in one instance; more wait for their turn, within their deadline."""

_PASSING = {401, 403, 408, 425, 429}
"""4xx that another try may cure: 401 and 403 once the operator has mended the key."""
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]+")
"""RFC 3986's characters less @: where parsers disagree about a host, it is about others."""

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote URLs


class Callbacks:
    """A kept session with ModelRiver."""

    def __init__(self, api_key: str, origins: Collection[Origin]) -> None:
        self._origins = origins
        self._session = requests.Session()
        self._session.trust_env = False  # a netrc entry would replace our bearer token
        self._session.headers.update(
            {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        )
        retry = Retry(
            total=2,
            read=1,
            allowed_methods=None,  # POST too: task_id tells ModelRiver that it is the same
            status_forcelist={408, 425, 429, *range(500, 600)},
            backoff_factor=0.2,
            retry_after_max=2,
            raise_on_status=False,
        )
        adapter = HTTPAdapter(pool_maxsize=MAX_CONCURRENT, max_retries=retry)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        # Made once: only URL and body differ from one callback to the next.
        self._request = self._session.prepare_request(requests.Request("POST", "http://localhost"))
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="callback")

    def send(self, url: str, payload: dict[str, Json], timeout: float) -> None:
        """POST `payload` to a callback URL of ModelRiver's, and return once it is accepted.

        `timeout` binds the whole in seconds: name look-up, retries and a server that dribbles
        included, which no timeout of a socket's covers. Hence the thread. Raises CallbackRefused
        and CallbackUnavailable.
        """
        target = self._pinned(url)
        context = contextvars.copy_context()  # Vercel files the request's metrics by it
        answered: list[int] = []  # the status, once it is there, whatever becomes of the body
        attempt = self._threads.submit(context.run, self._post, target, dump(payload), answered)
        try:
            attempt.result(max(0.0, timeout))
            reason = ""
        except TimeoutError:
            attempt.cancel()
            reason = "no answer in time"
        except requests.RequestException as error:
            reason = type(error).__name__
        if not answered:
            raise CallbackUnavailable(reason)
        status = answered[0]
        if status in _PASSING or status >= 500:
            raise CallbackUnavailable(f"HTTP {status}")
        if not 200 <= status < 300:
            raise CallbackRefused(f"HTTP {status}")

    def close(self) -> None:
        """Close the connections that are kept, for good."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def allows(self, url: str) -> bool:
        """Whether the URL is one of ModelRiver's."""
        with contextlib.suppress(CallbackRefused):
            return bool(self._pinned(url))
        return False

    def _post(self, url: str, body: str, answered: list[int]) -> None:
        request = self._request.copy()
        request.url = url
        request.prepare_body(body.encode(), files=None)
        with self._session.send(
            request,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            allow_redirects=False,
            stream=True,
        ) as response:
            answered.append(response.status_code)
            response.raw.read(MAX_ANSWER)  # read to its end, the connection can be kept

    def _pinned(self, url: str) -> str:
        """The URL with its origin spelled as the settings spell it, whatever the payload wrote."""
        try:
            origin = Origin.of(url) if _URL.fullmatch(url) else None
        except ValueError:
            origin = None
        if origin not in self._origins:
            raise CallbackRefused("callback_url is not at an origin of ModelRiver's")
        parts = urlsplit(url)
        return f"{origin}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def success(record_id: str, saved_at: datetime, table: str, ai_data: Json) -> dict[str, Json]:
    """The payload that carries the saved record; an AI result that is no object is `content`."""
    if isinstance(ai_data, dict):
        data = dict(ai_data)
    else:
        data = {} if ai_data is None else {"content": ai_data}
    saved = saved_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "data": data | {"id": record_id, "saved_at": saved},
        "task_id": f"neon_{record_id}",
        "metadata": {"database": "neon", "table": table, "record_id": record_id},
    }


def failure(message: str) -> dict[str, Json]:
    """The payload that ends the waiting where there is no record."""
    return {"error": "processing_failed", "message": message}
