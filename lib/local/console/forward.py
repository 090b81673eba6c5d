"""The way in for everybody: hands requests on to the function, and shows the desk what came.

As Vercel's platform does, it rewrites paths as vercel.json says, and names each request to the
runtime, whose log lines then tell which one they are of.
"""

import json
import threading
import time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from lib.local.console.desk import Desk
from lib.local.project import ROOT
from lib.local.standins.modelriver import Reply
from lib.local.standins.tasks import Receiver
from lib.local.standins.vercel import INVOCATION_HEADER, PATH
from lib.local.until import until

MAX_BODY = 20_000_000
"""Bytes; more than the function takes, which says so itself."""
WITHIN = 35.0
"""Seconds for the function's answer: it has 30."""
STARTS_WITHIN = 10.0
"""Seconds for a function to start that has no port just now."""
_NOT_HANDED_ON = {"connection", "transfer-encoding", "content-length", INVOCATION_HEADER}
_NOT_HANDED_BACK = {"connection", "transfer-encoding", "content-length", "date", "server"}


class Forward:
    """Listens on loopback, in front of a function that may come and go."""

    def __init__(self, desk: Desk, target: Receiver, listen_on: int = 0) -> None:
        self.desk = desk
        """Where all that comes is shown."""
        self.target = target
        """The function."""
        rewrites = json.loads((ROOT / "vercel.json").read_text(encoding="utf-8"))["rewrites"]
        self.paths = {each["source"]: each["destination"] for each in rewrites}
        self._server = _Server(("127.0.0.1", listen_on), _Handler)
        self._server.forward = self

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    forward: Forward

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients break off."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        self._hand_on("")

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - as the library has it

    def do_POST(self) -> None:
        self._hand_on(self.headers.get(INVOCATION_HEADER, ""))

    def _hand_on(self, invocation: str) -> None:
        body = self._body()
        desk, (path, mark, query) = self.server.forward.desk, self.path.partition("?")
        path = self.server.forward.paths.get(path, path)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _NOT_HANDED_ON
        }
        is_new = self.command == "POST" and path == PATH and not desk.knows(invocation)
        if is_new:
            invocation = desk.arrive(headers, body)
        if invocation:
            headers[INVOCATION_HEADER] = invocation
        reply = self._ask(f"{path}{mark}{query}", headers, body)
        if not reply.status:
            trouble = desk.trouble or f"The function does not answer: {reply.reason}."
            desk.blame(invocation, trouble)
            content = json.dumps({"error": trouble}).encode()
            reply = Reply(502, {"Content-Type": "application/json"}, content, reply.seconds)
        if is_new:
            desk.answer(invocation, reply)
        self._answer(reply)

    def _ask(self, target: str, headers: dict[str, str], body: bytes) -> Reply:
        began = time.monotonic()
        forward = self.server.forward
        # While it starts anew, whoever sends to it waits.
        port = until(lambda: forward.target.port or forward.desk.trouble, STARTS_WITHIN)
        connection = HTTPConnection(
            "127.0.0.1", port if isinstance(port, int) else 0, timeout=WITHIN
        )
        try:
            connection.request(self.command, target, body or None, headers)
            answer = connection.getresponse()
            told, content = dict(answer.headers), answer.read()
        except (OSError, HTTPException) as error:
            reason = getattr(error, "strerror", None) or "the connection was cut"
            return Reply(0, {}, b"", time.monotonic() - began, reason)
        finally:
            connection.close()
        return Reply(answer.status, told, content, time.monotonic() - began)

    def _answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in _NOT_HANDED_BACK:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.content)

    def _body(self) -> bytes:
        """What came with the request: forwarders and tunnels may well send it in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline(100).partition(b";")[0], 16):
                if len(body) + size > MAX_BODY:
                    raise ValueError("too large")
                body += self.rfile.read(size)
                self.rfile.readline(3)
            while self.rfile.readline(1000).strip():
                pass
            return body
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BODY:
            raise ValueError("too large")
        return self.rfile.read(length)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Nothing: the desk shows what comes."""
