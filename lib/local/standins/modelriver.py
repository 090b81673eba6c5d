"""A stand-in for ModelRiver: signs and delivers AI results, and takes callbacks.

It does what ModelRiver's documentation says (https://modelriver.com/docs/webhooks), checks every
callback for what ModelRiver expects of it, and can be told to treat callbacks badly.
"""

import contextlib
import hashlib
import hmac
import json
import socket
import struct
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.parse import urlsplit

from lib.jsontext import Json
from lib.local.standins import wire

type Scheme = Literal["documented", "timestamped", "timestamped whole body"]
SCHEMES: tuple[Scheme, ...] = ("documented", "timestamped", "timestamped whole body")

CALLBACK_PATH = "/v1/callback/"
DELIVERY_TIMEOUT = 30.0
"""Seconds that ModelRiver waits for an answer."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the receiver answered; `status` is 0 where it did not."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    reason: str = ""
    """Why there is no answer."""

    @property
    def json(self) -> Json:
        value: Json = json.loads(self.content)
        return value


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it was received."""

    channel_id: str
    headers: Mapping[str, str]
    content: Mapping[str, Json]
    problems: tuple[str, ...]
    """In what it is not as ModelRiver documents it."""
    answered: int
    received_at: float
    """Unix seconds."""
    taken: bool
    """Whether ModelRiver acts on it, though the answer may have been lost on its way back."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a callback is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer."""
    reset: Literal["", "before", "after"] = ""
    """Reset the connection instead of answering, before or after the callback was taken."""
    taken: bool = True
    """Whether ModelRiver acts on a callback that it does not answer."""
    close_quietly: bool = False
    """After the answer, close the kept-alive connection without having said so."""


class ModelRiver:
    """One project at ModelRiver: a webhook secret, an API key, an origin for callbacks."""

    def __init__(
        self, secret: str = "whsec-local", api_key: str = "mr-key-local", port: int = 0
    ) -> None:
        self.secret = secret
        self.api_key = api_key
        self.callbacks: list[Callback] = []
        self.treatment = Treatment()
        """Of callbacks for which nothing is planned."""
        self.planned: defaultdict[str, deque[Treatment]] = defaultdict(deque)
        """Treatments of a channel's next callbacks."""
        self.on_callback: Callable[[str], None] = lambda _: None
        """Called with the channel of each callback that is taken, before it is answered."""
        self.pages: Callable[[BaseHTTPRequestHandler], None] | None = None
        """Answers every request that is no callback."""
        self._server = _CallbackServer(("127.0.0.1", port), _CallbackHandler)
        self._server.modelriver = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections callbacks have come over so far."""
        return self._server.connections

    @property
    def settings(self) -> dict[str, str]:
        """What a receiver of this project's webhooks sets."""
        return {
            "MODELRIVER_WEBHOOK_SECRET": self.secret,
            "MODELRIVER_API_KEY": self.api_key,
            "MODELRIVER_CALLBACK_ORIGINS": self.origin,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def event(self, ai_result: Json, **members: Json) -> dict[str, Json]:
        """A `task.ai_generated` payload as ModelRiver documents it, with `members` changed."""
        channel_id = members.get("channel_id", str(uuid.uuid4()))
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "type": "task.ai_generated",
            "event": "new_movie_suggestion",
            "channel_id": channel_id,
            "ai_response": {"data": ai_result},
            "callback_url": self.callback_url(str(channel_id)),
            "callback_required": True,
            "customer_data": {"user_id": "user_456", "category": "movies"},
            "meta": {"provider": "openai", "model": "gpt-4o"},
            "timestamp": now,
            **members,
        }

    def callback_url(self, channel_id: str) -> str:
        return f"{self.origin}{CALLBACK_PATH}{channel_id}"

    @staticmethod
    def nested(payload: Mapping[str, Json]) -> dict[str, Json]:
        """The payload in the envelope of ModelRiver's sample receivers."""
        outside = {"channel_id", "timestamp", "callback_url"}
        return {
            "channel_id": payload.get("channel_id"),
            "timestamp": int(time.time()),
            "data": {name: value for name, value in payload.items() if name not in outside},
            "callback_url": payload.get("callback_url"),
        }

    def sign(
        self,
        payload: Json | bytes,
        scheme: Scheme = "documented",
        at: float | None = None,
        secret: str | None = None,
    ) -> Delivery:
        """A delivery of `payload`, signed at `at` (Unix seconds, now by default).

        With the webhook's own secret, unless another is given. Raises ValueError for a number that
        is not finite, and RecursionError for bottomless nesting.
        """
        key = self.secret if secret is None else secret
        body = payload if isinstance(payload, bytes) else wire.write(payload).encode()
        timestamp = str(int(time.time() if at is None else at))
        headers = {"Content-Type": "application/json"}
        if scheme == "documented":
            headers |= {"mr-signature": _hmac(key, body), "mr-timestamp": timestamp}
            if isinstance(payload, dict) and "channel_id" in payload:
                headers["mr-channel-id"] = str(payload["channel_id"])
        else:
            signed = body
            if scheme == "timestamped" and isinstance(payload, dict) and "data" in payload:
                signed = wire.write(payload["data"]).encode()
            headers["X-ModelRiver-Signature"] = _hmac(key, timestamp.encode() + b"." + signed)
            headers["X-ModelRiver-Timestamp"] = timestamp
        return Delivery(headers, body)

    def deliver(self, url: str, delivery: Delivery, timeout: float = DELIVERY_TIMEOUT) -> Reply:
        """POST a delivery and wait for the answer. Raises ValueError for what is no URL."""
        parts = urlsplit(url)
        started = time.monotonic()
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        with contextlib.closing(connection):
            try:
                connection.request("POST", target, delivery.body, dict(delivery.headers))
                response = connection.getresponse()
                headers, content = dict(response.headers), response.read()
            except (OSError, HTTPException) as error:
                reason = getattr(error, "strerror", None) or "the connection was cut"
                if isinstance(error, TimeoutError):
                    reason = f"none came within {timeout:.0f} s"
                return Reply(0, {}, b"", time.monotonic() - started, reason)
            return Reply(response.status, headers, content, time.monotonic() - started)

    def callbacks_for(self, channel_id: str) -> list[Callback]:
        return [each for each in list(self.callbacks) if each.channel_id == channel_id]

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Treatment:
        """Check a callback, file it, and say how to answer it."""
        channel_id = path.removeprefix(CALLBACK_PATH)
        planned = self.planned.get(channel_id)
        treatment = planned.popleft() if planned else self.treatment
        problems = []
        if headers.get("authorization") != f"Bearer {self.api_key}":
            problems.append("wrong bearer token")
            treatment = Treatment(status=401)
        if headers.get("content-type") != "application/json":
            problems.append("wrong content type")
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if isinstance(content, dict):
            problems += _shape_problems(content)
        else:
            problems.append("not a JSON object")
            content = {}
        if treatment.reset != "before":
            answered = 0 if treatment.reset else treatment.status
            taken = treatment.taken and (not answered or 200 <= answered < 300)
            self.callbacks.append(
                Callback(
                    channel_id, headers, content, tuple(problems), answered, time.time(), taken
                )
            )
        return treatment


def _hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def _shape_problems(content: Mapping[str, Json]) -> list[str]:
    """In what a callback's payload is neither a success nor a failure as documented."""
    if "error" in content:
        expected = {"error": "processing_failed", "message": content.get("message")}
        return [] if content == expected and content["message"] else ["malformed failure"]
    match content:
        case {
            "data": {"id": str(record_id), "saved_at": str()},
            "task_id": str(task_id),
            "metadata": {"database": "neon", "table": "ai_content", "record_id": str(same_id)},
        } if len(content) == 3:
            same = task_id == f"neon_{record_id}" and same_id == record_id
            return [] if same else ["ids that differ"]
    return ["malformed success"]


class _CallbackServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    modelriver: ModelRiver
    connections = 0

    def get_request(self) -> tuple[socket.socket, object]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that break off are part of the play."""


class _CallbackHandler(BaseHTTPRequestHandler):
    server: _CallbackServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if pages := self.server.modelriver.pages:
            pages(self)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        pages = self.server.modelriver.pages
        if pages and not self.path.startswith(CALLBACK_PATH):
            pages(self)
            return
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it died
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        treatment = self.server.modelriver.take(self.path, headers, body)
        if treatment.reset != "before":
            self.server.modelriver.on_callback(self.path.removeprefix(CALLBACK_PATH))
        if treatment.delay:
            time.sleep(treatment.delay)
        if treatment.reset:
            # With no time to linger, close() resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response(treatment.status)
        for name, value in treatment.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = self.close_connection or treatment.close_quietly

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Nothing: what matters is kept in `callbacks`."""
