"""An HTTP API on loopback that takes and answers JSON; fails on demand."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from lib.jsontext import Json

type Object = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Object:
        content = json.loads(self.body or b"{}")
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """An answer that is not 200."""

    status: int
    message: str
    code: str = ""
    members: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is answered instead of being done; with `once`, to the next such request alone."""

    status: int = 503
    message: str = "Service unavailable, try again later"
    once: bool = False


class Api:
    """Routes are regular expressions for `METHOD /path`; their groups are the arguments."""

    def __init__(
        self,
        routes: Mapping[str, Callable[..., Json]],
        error: Callable[[Refused], Json],
        key: str,
    ) -> None:
        """`error` makes the answer's content of a refusal; `key` is the bearer token to be sent."""
        self._routes = routes
        self._error = error
        self._key = key
        self.requests: list[Request] = []
        """Everything that was asked, what failed included."""
        self.faults: dict[str, Fault] = {}
        """By route, as a regular expression."""
        # One request after another: nothing that they change needs a lock, and the processes that
        # one of them starts live as long as this thread (prctl(2)).
        self._server = HTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, pattern: str) -> list[Request]:
        """The requests so far whose `METHOD /path` match."""
        return [
            each for each in self.requests if re.fullmatch(pattern, f"{each.method} {each.path}")
        ]

    def answer(self, request: Request) -> tuple[int, Json]:
        """Status and content."""
        self.requests.append(request)
        try:
            return 200, self._do(request)
        except Refused as refused:
            return refused.status, self._error(refused)

    def _do(self, request: Request) -> Json:
        if request.headers.get("authorization") != f"Bearer {self._key}":
            raise Refused(401, "The key is not valid", "forbidden")
        line = f"{request.method} {request.path}"
        for pattern, fault in self.faults.items():
            if re.fullmatch(pattern, line):
                if fault.once:
                    del self.faults[pattern]
                raise Refused(fault.status, fault.message)
        for pattern, do in self._routes.items():
            if found := re.fullmatch(pattern, line):
                return do(request, *found.groups())
        raise Refused(404, "There is no such thing", "not_found")


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30
        wbufsize = -1  # one packet an answer
        disable_nagle_algorithm = True

        def do_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query))
            request = Request(self.command, unquote(parts.path), query, headers, body)
            status, content = api.answer(request)
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nothing: what was asked is kept in `requests`."""

    return Handler
