"""An HTTP API on loopback that takes and answers JSON, and fails on demand."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from lib.jsontext import Json
from lib.local.standins.listener import Served

type Object = dict[str, Json]
type Routes = Mapping[str, Callable[..., Json]]
"""By regular expressions for `METHOD /path`, whose groups are arguments after the request."""


@dataclass(frozen=True, slots=True)
class Request:
    line: str
    """`METHOD /path`."""
    query: Mapping[str, str]
    authorization: str
    body: bytes

    @property
    def json(self) -> Object:
        content = json.loads(self.body)
        return content if isinstance(content, dict) else {}


class Refused(Exception):
    """An answer that is not 200; as a fault with `once`, to the next such request alone."""

    def __init__(
        self,
        status: int = 503,
        message: str = "Service unavailable",
        *,
        once: bool = False,
        **members: Json,
    ) -> None:
        super().__init__(message)
        self.status, self.once = status, once
        error: Object = {"message": message, **members}
        self.content: Object = {**error, "error": error}
        """Neon's programs read the outer members, Vercel's the inner ones."""


class Api(Served, HTTPServer):
    """One request after another, so that nothing that they change needs a lock.

    The processes that one of them starts live as long as this server's thread (prctl(2)).
    """

    def __init__(self, routes: Routes, key: str) -> None:
        """`key` is the bearer token to be sent."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._routes, self._key = routes, key
        self.requests: list[Request] = []
        """Everything that was asked, what failed included."""
        self.faults: dict[str, Refused] = {}
        """What is answered instead of being done, by route."""

    def asked(self, pattern: str) -> list[Request]:
        """The requests so far whose line matches."""
        return [each for each in self.requests if re.fullmatch(pattern, each.line)]

    def answer(self, request: Request) -> Json:
        """Raises Refused."""
        self.requests.append(request)
        if request.authorization != f"Bearer {self._key}":
            raise Refused(401, "The key is not valid", code="forbidden")
        for pattern, fault in self.faults.items():
            if re.fullmatch(pattern, request.line):
                if fault.once:
                    del self.faults[pattern]
                raise fault
        for pattern, do in self._routes.items():
            if found := re.fullmatch(pattern, request.line):
                return do(request, *found.groups())
        raise Refused(404, "There is no such thing", code="not_found")


class _Handler(BaseHTTPRequestHandler):
    server: Api
    timeout = 30
    wbufsize = -1  # one packet an answer

    def do_any(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line, query = f"{self.command} {unquote(url.path)}", dict(parse_qsl(url.query))
        request = Request(line, query, self.headers.get("Authorization", ""), body)
        try:
            status, content = 200, self.server.answer(request)
        except Refused as refused:
            status, content = refused.status, refused.content
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_GET = do_POST = do_DELETE = do_any  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is kept in `requests`."""
