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
from urllib.parse import parse_qs, urlsplit

from lib.jsontext import Json
from lib.local.console import form, rows
from lib.local.console.command import curl
from lib.local.console.desk import Desk
from lib.local.console.entry import Entry, payload
from lib.local.standins.deliveries import ENVELOPES
from lib.local.standins.modelriver import ModelRiver, Treatment
from lib.local.standins.saved import NoDelivery, Saved

PAGE = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
FILES = {
    "/" if path.name == "index.html" else f"/{path.name}": (path, _TYPES[path.suffix])
    for path in PAGE.iterdir()
}
"""What each path shows, and its type."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'"
)
MAX_REQUEST = 10_000_000
"""Bytes of a request's body: 4 MB of text, escaped."""
PULSE = 15.0
"""Seconds after which something is said to a page for which there is no news."""

FAULTS: dict[str, Treatment] = {
    "none": Treatment(),
    "500": Treatment(status=500),
    "429": Treatment(status=429, headers={"Retry-After": "60"}),
    "401": Treatment(status=401),
    "404": Treatment(status=404),
    "silence": Treatment(delay=30, reset="after", taken=False),
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
        except form.Refused as refused:
            _send_error(request, Refusal(400, str(refused), refused.position))
        except Refusal as refusal:
            # With its body unread, the connection cannot be used again.
            request.close_connection = True
            _send_error(request, refusal)

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
        if path not in FILES:
            raise Refusal(404, "There is nothing here.")
        file, content_type = FILES[path]
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        _send(request, file.read_bytes(), f"{content_type}; charset=utf-8", headers=headers)

    def _presets(self, request: BaseHTTPRequestHandler) -> None:
        envelopes: list[Json] = [*ENVELOPES, form.WHOLE]
        _send_json(request, {"presets": dict(form.presets()), "envelopes": envelopes})

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
                    text = f"data: {json.dumps(update)}\n\n"
                else:
                    text = ": still here\n\n"
                request.wfile.write(text.encode())
                timeout = PULSE
        except OSError:  # the page was closed
            pass

    def _detail(self, request: BaseHTTPRequestHandler, number: str) -> None:
        entry, detail = self._entry(number), self._desk.detail(int(number))
        if detail is None:
            raise _gone()
        key = entry.task.channel_id, entry.event
        found = rows.row(self._database_url, *key)
        _send_json(request, {**detail, "row": found, "select": rows.select(*key)})

    def _body(self, request: BaseHTTPRequestHandler, number: str) -> None:
        """The whole body, as it was sent last."""
        delivery = self._desk.signed(self._entry(number))
        _send(request, delivery.body, "text/plain; charset=utf-8")

    def _curl(self, request: BaseHTTPRequestHandler, number: str) -> None:
        query = parse_qs(urlsplit(request.path).query)
        try:
            command = curl(self._desk.signed(self._entry(number)), query.get("url", [""])[0])
        except ValueError as error:
            raise Refusal(413, f"{error}: save it, and use make send.") from None
        _send_json(request, {"command": command})

    def _saved(self, request: BaseHTTPRequestHandler, number: str) -> None:
        """The delivery as a file."""
        entry = self._entry(number)
        text = Saved(payload(self._desk.signed(entry).body), entry.task.scheme).text()
        headers = {"Content-Disposition": f'attachment; filename="delivery-{number}.json"'}
        _send(request, text.encode(), "application/json", headers=headers)

    def _filled(self, request: BaseHTTPRequestHandler, number: str) -> None:
        """The form that makes the delivery again."""
        _send_json(request, form.filled(self._entry(number)))

    def _read(self, request: BaseHTTPRequestHandler) -> None:
        """The form with what a file holds."""
        match _content(request):
            case {"text": str(text)}:
                try:
                    _send_json(request, form.whole(Saved.read(text)))
                except NoDelivery as error:
                    raise Refusal(400, str(error)) from None
            case _:
                raise Refusal(400, "A text is to be read.")

    def _channel(self, request: BaseHTTPRequestHandler, row_id: str) -> None:
        _send_json(request, {"channel": rows.channel(self._database_url, row_id)})

    def _entry(self, number: str) -> Entry:
        entry = self._desk.entry(int(number))
        if entry is None:
            raise _gone()
        return entry

    def _deliver(self, request: BaseHTTPRequestHandler) -> None:
        orders = form.Form.of(_content(request)).orders(self._modelriver)
        try:
            numbers: list[Json] = [*self._desk.send(orders)]
        except (ValueError, RecursionError) as error:
            words = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise Refusal(400, f"No JSON can be made of that: {words}. Nothing was sent.") from None
        _send_json(request, {"numbers": numbers}, 202)

    def _redeliver(self, request: BaseHTTPRequestHandler, number: str) -> None:
        _content(request)
        if not self._desk.redeliver(int(number)):
            raise _gone()
        _send_json(request, {}, 202)

    def _clear(self, request: BaseHTTPRequestHandler) -> None:
        _content(request)
        self._desk.clear()
        _send_json(request, {}, 202)

    def _replay(self, request: BaseHTTPRequestHandler) -> None:
        _content(request)
        _send_json(request, {"replayed": self._desk.replay()}, 202)

    def _set_fault(self, request: BaseHTTPRequestHandler) -> None:
        match _content(request):
            case {"fault": str(fault)} if fault in FAULTS:
                self._modelriver.treatment = FAULTS[fault]
                self._desk.tell(fault=fault)
                _send_json(request, {}, 202)
            case _:
                raise Refusal(400, f"The faults are: {', '.join(FAULTS)}.")

    _ROUTES: ClassVar[dict[str, dict[str, Callable[..., None]]]] = {
        "GET": {
            r"(/|/[a-z]+\.(?:css|js))": _file,
            "/presets": _presets,
            "/events": _events,
            r"/deliveries/(\d{1,9})": _detail,
            r"/deliveries/(\d{1,9})/body": _body,
            r"/deliveries/(\d{1,9})/curl": _curl,
            r"/deliveries/(\d{1,9})/file": _saved,
            r"/deliveries/(\d{1,9})/form": _filled,
            r"/rows/([0-9a-fA-F-]{36})/channel": _channel,
        },
        "POST": {
            "/deliveries": _deliver,
            "/deliveries/clear": _clear,
            r"/deliveries/(\d{1,9})/redeliver": _redeliver,
            "/dead-letters/replay": _replay,
            "/faults": _set_fault,
            "/files": _read,
        },
    }


def _gone() -> Refusal:
    return Refusal(404, "That delivery is not kept any more.")


def _content(request: BaseHTTPRequestHandler) -> Json:
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


def _send_error(request: BaseHTTPRequestHandler, refusal: Refusal) -> None:
    content: dict[str, Json] = {"error": str(refusal)}
    if refusal.position is not None:
        content["position"] = refusal.position
    _send_json(request, content, refusal.status)


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
