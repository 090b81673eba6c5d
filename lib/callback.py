"""The callback: tells ModelRiver what became of an AI result, and tells nobody else.

https://modelriver.com/docs/event-driven-ai
"""

import contextlib
import contextvars
import logging
import re
import ssl
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from lib.errors import CallbackRefused, CallbackUnavailable
from lib.jsontext import Json, dump
from lib.settings import Origin

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 6.0
"""Seconds, each for one try. What binds all tries together is the deadline given to `send`."""
MAX_ANSWER = 65536
"""Bytes of an answer's body that are read; nothing in it matters."""
TICKETS_WITHIN = 0.3
"""Seconds for session tickets to arrive after a handshake, if any do."""
LOOK_EVERY = 5.0
"""Seconds between looks whether a connection is kept: servers close those that are idle."""
MAX_CONCURRENT = 64
"""Callbacks under way in one instance; more wait for their turn, within their deadline."""

_PASSING = {401, 403, 408, 425, 429}
"""4xx that another try may cure: 401 and 403 once the operator has mended the key."""
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=%-]{1,2048}")
"""RFC 3986's characters less @: where parsers disagree about a host, it is about others.

Not too many, since the library's parser keeps what it has parsed.
"""

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
        retry = urllib3.Retry(
            total=2,
            read=1,
            allowed_methods=None,  # POST too: task_id tells ModelRiver that it is the same
            status_forcelist={408, 425, 429, *range(500, 600)},
            backoff_factor=0.2,
            retry_after_max=2,
            raise_on_status=False,
        )
        self._adapter = _Adapter(pool_maxsize=MAX_CONCURRENT, max_retries=retry)
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)
        self._look_again_at = 0.0
        # Made once: only URL and body differ from one callback to the next.
        self._request = self._session.prepare_request(requests.Request("POST", "http://localhost"))
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="callback")

    def prepare(self, url: str) -> Future[None] | None:
        """Connect to ModelRiver while the caller is busy, unless a connection is kept.

        Looks every few seconds, at the origin of that moment. Returns what is under way, if
        anything is. Should it fail, `send` will tell. Raises nothing.
        """
        now = time.monotonic()
        if now < self._look_again_at:
            return None
        with contextlib.suppress(CallbackRefused, RuntimeError):  # no thread can be had just now
            target = self._pinned(url)
            self._look_again_at = now + LOOK_EVERY
            return self._threads.submit(self._adapter.connect, target)
        return None

    def send(self, url: str, payload: dict[str, Json], timeout: float) -> None:
        """POST `payload` to a callback URL of ModelRiver's, and return once it is accepted.

        `timeout` binds the whole in seconds: name look-up, retries and a server that dribbles
        included, which no timeout of a socket's covers. Hence the thread. Raises CallbackRefused
        and CallbackUnavailable.
        """
        target = self._pinned(url)
        context = contextvars.copy_context()  # Vercel files the request's metrics by it
        answered: list[int] = []  # the status, once it is there, whatever becomes of the body
        try:
            attempt = self._threads.submit(context.run, self._post, target, dump(payload), answered)
        except RuntimeError:
            raise CallbackUnavailable("no thread can be had") from None
        try:
            attempt.result(max(0.0, timeout))
            reason = ""
        except TimeoutError:
            attempt.cancel()
            reason = "no answer in time"
        except requests.RequestException as error:
            reason = type(error).__name__
        finally:
            del attempt  # with an error's traceback it would hold itself, and the payload
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
            with contextlib.suppress(urllib3.exceptions.HTTPError):
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


class _Adapter(HTTPAdapter):
    """Loads the certificate authorities once, and not, as the library does, for each connection.

    They take tens of milliseconds.
    """

    _loading = threading.Lock()

    def get_connection_with_tls_context(self, request: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the library has it
        shared = self.poolmanager.connection_pool_kw
        with self._loading:
            if "ssl_context" not in shared and request.url.startswith("https:"):
                # It demands a certificate, and the host's name in it.
                context = urllib3.util.create_urllib3_context()
                context.load_verify_locations(certifi.where())
                shared["ssl_context"] = context
        return super().get_connection_with_tls_context(request, *args, **kwargs)

    def cert_verify(self, *_: object) -> None:
        """Nothing: it would have the authorities loaded again."""

    def connect(self, url: str) -> None:
        """Open a connection for later, unless there is one that is still alive."""
        request = requests.Request("GET", url).prepare()
        pool = self.get_connection_with_tls_context(request, verify=True)
        connection = pool._get_conn()  # noqa: SLF001 - urllib3 has no other way
        try:
            if not connection.is_connected:
                connection.timeout = CONNECT_TIMEOUT
                connection.connect()
                _take_tickets(getattr(connection, "sock", None))
        except BaseException:
            connection.close()  # half made, it would fail whoever takes it next
            raise
        finally:
            pool._put_conn(connection)  # noqa: SLF001


def _take_tickets(sock: object) -> None:
    """Read what a TLS 1.3 server sends unasked: unread, it looks like the connection's end."""
    if not isinstance(sock, ssl.SSLSocket) or sock.version() != "TLSv1.3":
        return
    urllib3.util.wait_for_read(sock, TICKETS_WITHIN)
    sock.settimeout(0)
    with contextlib.suppress(OSError):  # there is nothing else to read
        sock.recv(1)


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
