"""The callback: tells ModelRiver what became of an AI result, and tells nobody else.

https://modelriver.com/docs/event-driven-ai
"""

import contextlib
import contextvars
import logging
import ssl
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from lib.callback_connection import SOCKET_OPTIONS
from lib.errors import CallbackRefused, CallbackUnavailable
from lib.jsontext import Json, dump
from lib.settings import origin

CONNECT_TIMEOUT = 3.0  # seconds for one address, and for the other side to take what it is sent
ANSWER_TIMEOUT = 10.0  # seconds of silence before an answer
MAX_ANSWER = 65536  # bytes of an answer's body that are read; nothing in it matters
MAX_CONCURRENT = 64  # callbacks under way in an instance; more wait for their turn

# 4xx that another try may cure: 401 and 403 once the operator has mended the key.
_PASSING = {401, 403, 408, 425, 429}
# What an answer can come to: http.client, for one, raises ValueError over a chunk's size.
_FAULTS = (urllib3.exceptions.HTTPError, ValueError, OSError)  # requests' own are OSErrors
logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings quote URLs


class Callbacks:
    """Kept connections to ModelRiver, and the threads that use them."""

    def __init__(self, api_key: str, origins: Collection[str]) -> None:
        """Connects to nothing yet."""
        self._origins = origins
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT)
        self._tls = urllib3.util.create_urllib3_context()  # demands a certificate for the host
        # Tens of ms; requests would do it for each connection.
        self._authorities = self._threads.submit(self._tls.load_verify_locations, certifi.where())
        self._adapter = _Adapter(self._tls)
        headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._request = requests.Request("POST", "http://localhost", headers).prepare()
        self._ahead: list[Future[int | str]] = []

    def connect_ahead(self) -> None:
        """Open a connection to each origin in the background, for the first callback to take."""
        for each in self._origins:  # by a request without a key: the library has no other way
            request = requests.Request("HEAD", each).prepare()
            self._ahead.append(self._threads.submit(self._exchange, request))

    def pinned(self, url: str) -> str | None:
        """The URL, its origin in the settings' spelling; None where that is another's."""
        with contextlib.suppress(ValueError):
            if (ours := origin(url)) in self._origins:
                parts = urlsplit(url)
                return f"{ours}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
        return None

    def send(self, url: str, payload: dict[str, Json], timeout: float) -> None:
        """POST `payload`, and return once ModelRiver has taken it, within `timeout` seconds in all.

        On a thread, since no socket's timeout covers look-ups and retries. Raises CallbackRefused
        and CallbackUnavailable.
        """
        target = self.pinned(url)
        if target is None:
            raise CallbackRefused("callback_url is not at an origin of ModelRiver's")
        context = contextvars.copy_context()  # Vercel files the request's metrics by it
        answer = self._threads.submit(context.run, self._post, target, dump(payload))
        try:
            answered = answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            raise CallbackUnavailable("no answer in time") from None
        if isinstance(answered, str):
            raise CallbackUnavailable(answered)
        if answered in _PASSING or answered >= 500:
            raise CallbackUnavailable(f"HTTP {answered}")
        if not 200 <= answered < 300:
            raise CallbackRefused(f"HTTP {answered}")

    def _post(self, url: str, body: str) -> int | str:
        wait(self._ahead, CONNECT_TIMEOUT)  # a HEAD's connection is free once that is answered
        request = self._request.copy()
        request.url = url
        request.prepare_body(body.encode(), files=None)
        return self._exchange(request)

    def _exchange(self, request: requests.PreparedRequest) -> int | str:
        """The status that was answered, or the name of what went wrong instead.

        No error crosses threads: with its traceback it would hold the delivery and the key.
        """
        timeout = (CONNECT_TIMEOUT, ANSWER_TIMEOUT)
        try:
            self._authorities.result()
            # Not by way of a Session, which would follow a redirect half of the way.
            with self._adapter.send(request, timeout=timeout) as response:
                with contextlib.suppress(*_FAULTS):
                    response.raw.read(MAX_ANSWER)  # read to its end, the connection can be kept
                return response.status_code
        except _FAULTS as error:
            return type(error).__name__


class _Adapter(HTTPAdapter):
    """requests' way to urllib3, with our own connections, retries and authorities."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(
            max_retries=urllib3.Retry(
                total=2,
                read=1,
                allowed_methods={"POST"},  # task_id tells ModelRiver that it is the same
                status_forcelist={408, 425, *range(500, 600)},
                backoff_factor=0.2,
                respect_retry_after_header=False,  # ModelRiver's own redelivery waits long enough
                raise_on_status=False,
            )
        )
        self.poolmanager = urllib3.PoolManager(
            maxsize=MAX_CONCURRENT, ssl_context=tls, socket_options=SOCKET_OPTIONS
        )

    def cert_verify(self, *_: object) -> None:
        """Nothing: the context does, and this would load the authorities for each connection."""


def success(record_id: str, saved_at: str, table: str, ai_data: Json) -> dict[str, Json]:
    """The payload that carries the saved record; an AI result that is no object is `content`."""
    if not isinstance(ai_data, dict):
        ai_data = {} if ai_data is None else {"content": ai_data}
    return {
        "data": ai_data | {"id": record_id, "saved_at": saved_at},
        "task_id": f"neon_{record_id}",
        "metadata": {"database": "neon", "table": table, "record_id": record_id},
    }


def failure(message: str) -> dict[str, Json]:
    """The payload that ends the waiting where there is no record."""
    return {"error": "processing_failed", "message": message}
