"""The Vercel function at /api/modelriver: HTTP in, HTTP out, no decisions.

Vercel serves the class `handler`, many requests at once, each on a thread
(https://vercel.com/docs/functions/runtimes/python). An exception that escaped from here would drop
the connection without an answer.
"""

import contextlib
import io
import os
import re
import socket
import time
from http.server import BaseHTTPRequestHandler

from lib import runtime

with runtime.quick_start():
    from lib.errors import BodyTimeout, BodyTooLarge, InvalidBody, LengthRequired, Misconfigured
    from lib.jsontext import Json, dump
    from lib.webhook import Webhook

MAX_BODY = 4_718_592
"""Bytes, 4.5 MiB: what Vercel lets through (https://vercel.com/docs/functions/limitations)."""
BODY_WITHIN = 10.0
"""Seconds for the whole body to arrive."""
MAX_LINE = 8192
"""Bytes of a line between chunks."""
LINGER = 2.0
"""Seconds for a client to finish sending what is not wanted any more."""

runtime.spare()

WEBHOOK = Webhook(os.environ)


class handler(BaseHTTPRequestHandler):  # noqa: N801 - Vercel looks for this very text
    timeout = 15
    """Seconds that a client may be silent before its socket is closed."""
    rfile: io.BufferedReader
    _body_is_read = False

    def do_POST(self) -> None:
        headers = {name.lower(): value.strip() for name, value in self.headers.items()}
        answer = WEBHOOK.receive(headers, self._read_body)
        retry = {"Retry-After": "5"} if answer.status == 503 else {}
        self._send(answer.status, answer.content, retry)
        WEBHOOK.conclude(answer)
        runtime.expect_nothing_after(self)

    def do_GET(self) -> None:
        """Health check: are all settings there? Asks no database, tells nothing else."""
        if WEBHOOK.misconfigured:
            self._send(500, {"error": Misconfigured.__doc__})
        else:
            self._send(200, {"status": "ok"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def __getattr__(self, name: str) -> object:
        # The runtime looks for do_<METHOD>, and answers 501 where there is none.
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self._send(405, {"error": "Method not allowed"}, {"Allow": "GET, HEAD, POST"})

    def _send(
        self, status: int, content: dict[str, Json], headers: dict[str, str] | None = None
    ) -> None:
        body = dump(content).encode()
        with contextlib.suppress(OSError):  # the client may have gone away
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)
            self.wfile.flush()

    def _read_body(self) -> bytes:
        deadline = time.monotonic() + BODY_WITHIN
        length = self.headers.get("Content-Length")
        try:
            if encoding := self.headers.get("Transfer-Encoding"):
                if encoding.strip().lower() != "chunked":
                    raise LengthRequired("Transfer-Encoding is not chunked")
                body = self._read_chunks(deadline)
            elif length is None:
                raise LengthRequired("no Content-Length")
            else:
                body = self._read_exactly(_bounded(length.strip(), 10), deadline)
        except TimeoutError:
            raise BodyTimeout("silent or slow") from None
        except OSError:
            raise InvalidBody("cut short") from None
        self._body_is_read = True
        return body

    def _read_chunks(self, deadline: float) -> bytes:
        """A chunked body (RFC 9112, section 7.1); its trailers are dropped."""
        body = bytearray()
        while size := _bounded(self._read_line(deadline).partition(b";")[0].decode("latin-1"), 16):
            if len(body) + size > MAX_BODY:
                raise BodyTooLarge("chunked")
            body += self._read_exactly(size, deadline)
            if self._read_line(deadline):
                raise InvalidBody("malformed chunk")
        while self._read_line(deadline):
            pass
        return bytes(body)

    def _read_line(self, deadline: float) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            self._wait_until(deadline)
            waiting = self.rfile.peek(1)
            line += self.rfile.read(waiting.find(b"\n") + 1 or len(waiting))
            if not waiting or len(line) > MAX_LINE:
                raise InvalidBody("malformed chunk")
        return line.rstrip(b"\r\n")

    def _read_exactly(self, length: int, deadline: float) -> bytes:
        pieces = []
        while length:
            self._wait_until(deadline)
            piece = self.rfile.read1(length)
            if not piece:
                raise InvalidBody("cut short")
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _wait_until(self, deadline: float) -> None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:  # for a client that never pauses
            raise TimeoutError
        self.connection.settimeout(remaining)

    def _linger(self) -> None:
        """Let the client finish sending before the socket is closed.

        Closed with bytes unread, it would be reset, and the answer lost (RFC 9112, section 9.6).
        """
        deadline = time.monotonic() + LINGER
        self.connection.shutdown(socket.SHUT_WR)
        self._wait_until(deadline)
        while self.rfile.read1(65536):
            self._wait_until(deadline)

    def handle(self) -> None:
        # A client that goes away or stays silent is no fault of ours, and no news for the log.
        with contextlib.suppress(OSError):
            try:
                super().handle()
            except ValueError:  # the runtime's own, of a path that it cannot read
                self.path = "/"  # it would read it again for its first answer
                self._send(400, {"error": "Bad request"})
            if not self._body_is_read:
                self._linger()

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: a delivery has its own log line, and a URL may hold a bypass secret."""

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Nothing: it would quote whatever a stranger sent."""


def _bounded(digits: str, base: int) -> int:
    """A body's or chunk's length in bytes, in what HTTP allows for digits: int() takes more."""
    if not re.fullmatch(r"[0-9]+" if base == 10 else r"[0-9A-Fa-f]+", digits):
        raise InvalidBody("malformed length")
    if len(digits) > 10 or (length := int(digits, base)) > MAX_BODY:
        raise BodyTooLarge("declared")
    return length
