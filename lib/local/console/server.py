"""The console's HTTP side: one page, its events, what its buttons do.

It listens on loopback, yet every website open in the same browser can send requests there. So
the Host must be ours (a name that a stranger points at 127.0.0.1 is not), and whatever changes
something must come from our own page, as JSON, which no form of another site can send.
"""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg.types.string import TextLoader

from lib.database import TABLE
from lib.jsontext import Json, parse
from lib.local.console.desk import Desk, Text
from lib.local.standins import wire
from lib.local.standins.deliveries import PRESETS
from lib.local.standins.modelriver import SCHEMES, ModelRiver, Scheme, Treatment

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""What each path shows: the file beside this one, and its type."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'"
)
MAX_REQUEST = 10_000_000
"""Bytes of a request's body: 4 MB of text, escaped."""
MAX_TIMES = 100
EDITABLE = 100_000
"""Characters of a preset that are offered for editing."""
PULSE = 15.0
"""Seconds after which something is said to a page for which there is no news."""
WRONG_SECRET = "whsec-of-somebody-else"

FAULTS: dict[str, Treatment] = {
    "none": Treatment(),
    "500": Treatment(status=500),
    "429": Treatment(status=429, headers={"Retry-After": "60"}),
    "401": Treatment(status=401),
    "404": Treatment(status=404),
    "silence": Treatment(delay=30, reset="after"),
    "reset": Treatment(reset="before"),
    "lost answer": Treatment(reset="after"),
}
"""How callbacks are answered."""


class Refusal(Exception):
    """A request that is answered with an error, and changes nothing."""

    def __init__(self, status: int, message: str, position: int | None = None) -> None:
        """`position` is where the JSON that was typed is malformed, in UTF-16 units."""
        super().__init__(message)
        self.status = status
        self.position = position


class Console:
    """Serves the page and what it asks for, on the stand-in ModelRiver's own port."""

    def __init__(self, modelriver: ModelRiver, desk: Desk, database_url: str) -> None:
        self._modelriver = modelriver
        self._desk = desk
        self._database_url = database_url
        desk.tell(fault="none")
        modelriver.pages = self.answer

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request, whatever it is."""
        try:
            self._check(request)
            self._route(request)
        except Refusal as refusal:
            # With its body unread, the connection cannot be used again.
            request.close_connection = True
            content: dict[str, Json] = {"error": str(refusal)}
            if refusal.position is not None:
                content["position"] = refusal.position
            _send_json(request, content, refusal.status)

    def _route(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0]
        for pattern, route in self._ROUTES[request.command].items():
            if found := re.fullmatch(pattern, path):
                route(self, request, *found.groups())
                return
        raise Refusal(404, "There is nothing here.")

    def _check(self, request: BaseHTTPRequestHandler) -> None:
        port = self._modelriver.port
        host = request.headers.get("Host", "")
        if host not in {f"127.0.0.1:{port}", f"localhost:{port}"}:
            raise Refusal(403, "The Host is not this console's.")
        if request.command == "POST":
            if request.headers.get("Origin") != f"http://{host}":
                raise Refusal(403, "The Origin is not this console's.")
            if request.headers.get_content_type() != "application/json":
                raise Refusal(415, "The Content-Type is not application/json.")

    def _file(self, request: BaseHTTPRequestHandler, path: str) -> None:
        name, content_type = FILES[path]
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        body = Path(__file__).with_name(name).read_bytes()
        _send(request, body, content_type, headers=headers)

    def _presets(self, request: BaseHTTPRequestHandler) -> None:
        texts = {name: wire.write(value, indent=2) for name, value in PRESETS.items()}
        shown = {name: text for name, text in texts.items() if len(text) <= EDITABLE}
        _send_json(request, {"presets": {**dict.fromkeys(texts), **shown}})

    def _events(self, request: BaseHTTPRequestHandler) -> None:
        """Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.send_header("Cache-Control", "no-store")
        request.send_header("Connection", "close")
        request.end_headers()
        version, timeout = 0, 0.0
        try:
            while True:
                before = version
                version, update = self._desk.updates(before, timeout)
                first = timeout == 0
                if version > before or first:
                    text = f"data: {json.dumps({**update, 'all': first})}\n\n"
                else:
                    text = ": still here\n\n"
                request.wfile.write(text.encode())
                timeout = PULSE
        except OSError:  # the page was closed
            pass

    def _detail(self, request: BaseHTTPRequestHandler, number: str) -> None:
        detail, key = self._desk.detail(int(number)), self._desk.key(int(number))
        if detail is None or key is None:
            raise Refusal(404, "That delivery is not kept any more.")
        _send_json(request, {**detail, "row": row(self._database_url, *key)})

    def _deliver(self, request: BaseHTTPRequestHandler) -> None:
        match _body(request):
            case {
                "ai_result": str() | None as text,
                "preset": str(preset),
                "event": str(event),
                "scheme": str(name),
                "secret": "right" | "wrong" as secret,
                "times": int(times),
                "same": bool(same),
            } if name in SCHEMES and 1 <= times <= MAX_TIMES:
                scheme = next(each for each in SCHEMES if each == name)
            case _:
                raise Refusal(400, f"That is not what the form sends; times go up to {MAX_TIMES}.")
        ai_result = PRESETS.get(preset) if text is None else _typed(text)
        wrong = WRONG_SECRET if secret == "wrong" else None
        first = self._event(ai_result, event, scheme)
        payloads = [first] * times
        if not same:
            payloads[1:] = [self._event(ai_result, event, scheme) for _ in payloads[1:]]
        try:
            numbers: list[Json] = [
                self._desk.send(payload, scheme, wrong, event or None) for payload in payloads
            ]
        except (ValueError, RecursionError) as error:
            words = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise Refusal(400, f"No JSON can be made of that: {words}. Nothing was sent.") from None
        _send_json(request, {"numbers": numbers}, 202)

    def _event(self, ai_result: Json, event: str, scheme: Scheme) -> dict[str, Json]:
        payload = self._modelriver.event(ai_result, event=event or None)
        return payload if scheme == "documented" else self._modelriver.nested(payload)

    def _redeliver(self, request: BaseHTTPRequestHandler, number: str) -> None:
        _body(request)
        if not self._desk.redeliver(int(number)):
            raise Refusal(404, "That delivery was sent from elsewhere, or is not kept any more.")
        _send_json(request, {}, 202)

    def _replay(self, request: BaseHTTPRequestHandler) -> None:
        _body(request)
        _send_json(request, {"replayed": self._desk.replay()}, 202)

    def _set_fault(self, request: BaseHTTPRequestHandler) -> None:
        match _body(request):
            case {"fault": str(fault)} if fault in FAULTS:
                self._modelriver.treatment = FAULTS[fault]
                self._desk.tell(fault=fault)
                _send_json(request, {}, 202)
            case _:
                raise Refusal(400, f"The faults are: {', '.join(FAULTS)}.")

    _ROUTES: ClassVar[dict[str, dict[str, Callable[..., None]]]] = {
        "GET": {
            r"(/|/page\.css|/page\.js)": _file,
            "/presets": _presets,
            "/events": _events,
            r"/deliveries/(\d{1,9})": _detail,
        },
        "POST": {
            "/deliveries": _deliver,
            r"/deliveries/(\d{1,9})/redeliver": _redeliver,
            "/dead-letters/replay": _replay,
            "/faults": _set_fault,
        },
    }


def row(database_url: str, channel_id: str, event: str | None) -> dict[str, Json]:
    """The row of a channel and event as it stands: its columns in order, or why there is none."""
    query = (
        f"SELECT * FROM {TABLE}"
        " WHERE channel_id = %s AND coalesce(event_name, '') = coalesce(%s, '')"
    ).encode()
    try:
        with psycopg.connect(
            database_url, autocommit=True, prepare_threshold=None, connect_timeout=5
        ) as connection:
            connection.adapters.register_loader("jsonb", TextLoader)
            connection.adapters.register_loader("json", TextLoader)
            stored = parse(wire.write(event).encode())  # as the function stores it
            cursor = connection.execute(query, [channel_id, stored])
            values = cursor.fetchone() or ()
            columns = [(each.name, each.type_code) for each in cursor.description or ()]
            kinds = connection.adapters.types
    except psycopg.Error as error:
        words = error.diag.message_primary or str(error).splitlines()[0]
        return {"columns": [], "problem": f"Postgres was asked for it: {words}"}
    return {
        "columns": [
            {
                "name": name,
                "type": kind.name if (kind := kinds.get(code)) else "",
                "value": None if value is None else Text.of(str(value).encode()).json,
            }
            for (name, code), value in zip(columns, values, strict=False)
        ],
        "problem": "",
    }


def _typed(text: str) -> Json:
    try:
        return wire.read(text)
    except json.JSONDecodeError as error:
        place = f"Line {error.lineno}, column {error.colno}"
        position = len(text[: error.pos].encode("utf-16-le", "surrogatepass")) // 2
        raise Refusal(400, f"{place}: {error.msg}. Nothing was sent.", position) from None


def _body(request: BaseHTTPRequestHandler) -> Json:
    """The JSON that a request carries."""
    length = request.headers.get("Content-Length", "")
    if not re.fullmatch(r"\d{1,9}", length):
        raise Refusal(411, "The Content-Length is missing.")
    if int(length) > MAX_REQUEST:
        raise Refusal(413, f"More than {MAX_REQUEST:,} bytes are not taken.")
    try:
        value: Json = json.loads(request.rfile.read(int(length)))
    except (ValueError, RecursionError):
        raise Refusal(400, "The request's body is not JSON.") from None
    return value


def _send_json(
    request: BaseHTTPRequestHandler, content: dict[str, Json], status: int = 200
) -> None:
    _send(request, json.dumps(content).encode(), "application/json", status)


def _send(
    request: BaseHTTPRequestHandler,
    body: bytes,
    content_type: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> None:
    request.send_response(status)
    for name, value in {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        **({"Connection": "close"} if request.close_connection else {}),
        **(headers or {}),
    }.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(body)
