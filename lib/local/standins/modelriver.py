"""A stand-in for ModelRiver: signs and delivers AI results, and takes callbacks.

It does what ModelRiver's documentation says (https://modelriver.com/docs/webhooks), checks every
callback for what ModelRiver expects of it, and can be told to treat callbacks badly.
"""

import contextlib
import json
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from typing import Self
from urllib.parse import urlsplit

from lib.jsontext import Json
from lib.local.standins.callbacks import (
    CALLBACK_PATH,
    Callback,
    CallbackHandler,
    CallbackServer,
    Treatment,
    shape_problems,
)
from lib.local.standins.deliveries import DELIVERY_TIMEOUT, event, nested
from lib.local.standins.signing import SCHEMES, Delivery, Scheme, sign

__all__ = [
    "DELIVERY_TIMEOUT",
    "SCHEMES",
    "Callback",
    "Delivery",
    "ModelRiver",
    "Reply",
    "Scheme",
    "Treatment",
]


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
        self._server = CallbackServer(("127.0.0.1", port), CallbackHandler)
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
        url = self.callback_url(str(channel_id))
        return event(ai_result, **{"channel_id": channel_id, "callback_url": url, **members})

    def callback_url(self, channel_id: str) -> str:
        return f"{self.origin}{CALLBACK_PATH}{channel_id}"

    def nested(self, payload: Mapping[str, Json]) -> dict[str, Json]:
        """The payload in the envelope of ModelRiver's sample receivers."""
        return nested(payload)

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
        return sign(payload, scheme, self.secret if secret is None else secret, at)

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
            problems += shape_problems(content)
        else:
            problems.append("not a JSON object")
            content = {}
        if treatment.reset != "before":
            answered = 0 if treatment.reset else treatment.status
            taken = treatment.taken and (not answered or 200 <= answered < 300)
            told = channel_id, headers, content, tuple(problems)
            self.callbacks.append(Callback(*told, answered, time.time(), taken))
        return treatment
