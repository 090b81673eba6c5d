"""The Vercel function at /api/modelriver: HTTP in, HTTP out, no decisions.

Vercel serves the class `handler`, each request on a thread; an exception that escaped would drop
the connection without an answer (https://vercel.com/docs/functions/runtimes/python).
"""

import contextlib
import os
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler

from lib import runtime

with runtime.quick_start():
    from lib.errors import BodyTimeout, BodyTooLarge, InvalidBody, LengthRequired, Misconfigured
    from lib.jsontext import Json, dump
    from lib.webhook import Webhook

    WEBHOOK = Webhook(os.environ)

MAX_BODY = 4_718_592  # bytes: what Vercel lets in (https://vercel.com/docs/functions/limitations)
MAX_READ = 2 * MAX_BODY  # before a 413: a client that is cut off while sending reads no answer
MAX_LINE = 8192  # bytes of a line between chunks
HEADERS = {405: ("Allow", "GET, HEAD, POST"), 503: ("Retry-After", "5")}  # Retry-After in seconds


class handler(BaseHTTPRequestHandler):  # noqa: N801 - Vercel looks for this very text
    timeout = 10  # seconds of silence; the other side is Vercel's proxy, which does not dribble

    def do_POST(self) -> None:
        # UTF-8, which the standard library has decoded as Latin-1.
        headers = {
            name.lower(): value.strip(" \t").encode("latin-1").decode(errors="backslashreplace")
            for name, value in self.headers.items()
        }
        answer = WEBHOOK.receive(headers, self._read_body)
        self._send(answer.status, answer.content)
        WEBHOOK.conclude(answer)

    def do_GET(self) -> None:
        """Health check: are all settings there? Asks no database, tells nothing else."""
        if WEBHOOK.misconfigured:
            self._send(500, {"error": Misconfigured.__doc__})
        else:
            self._send(200, {"status": "ok"})

    do_HEAD = do_GET  # noqa: N815 - as the library has it

    def __getattr__(self, name: str) -> object:
        # The runtime looks for do_<METHOD>, and answers 501 where there is none.
        if name.startswith("do_"):
            return lambda: self._send(405, {"error": "Method not allowed"})
        raise AttributeError(name)

    def send_error(self, code: int, *_: object, **__: object) -> None:
        """The standard library's own answers: JSON like ours, and never without headers."""
        self.request_version = self.protocol_version
        self._send(code, {"error": HTTPStatus(code).phrase})

    def _send(self, status: int, content: dict[str, Json]) -> None:
        body = dump(content).encode()
        with contextlib.suppress(OSError):  # the client may have gone away
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            if status in HEADERS:
                self.send_header(*HEADERS[status])
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length")
        encoding = self.headers.get("Transfer-Encoding")
        try:
            if encoding and encoding.strip().lower() == "chunked":
                body = self._read_chunks()
            elif encoding or length is None:
                raise LengthRequired("neither Content-Length nor chunked")
            else:
                body = self._read_exactly(_bounded(length.strip(), 10))
        except TimeoutError:
            raise BodyTimeout("silent") from None
        except OSError:
            raise InvalidBody("cut short") from None
        if len(body) > MAX_BODY:
            raise BodyTooLarge("read")
        return body

    def _read_chunks(self) -> bytes:
        """A chunked body (RFC 9112, section 7.1); its trailers are dropped."""
        body = bytearray()
        while size := _bounded(self._read_line().partition(b";")[0].decode("latin-1"), 16):
            if len(body) + size > MAX_READ:
                raise BodyTooLarge("chunked")
            body += self._read_exactly(size)
            if self._read_line():
                raise InvalidBody("malformed chunk")
        while self._read_line():
            pass
        return bytes(body)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(MAX_LINE)
        if not line.endswith(b"\n"):
            raise InvalidBody("malformed chunk")
        return line.rstrip(b"\r\n")

    def _read_exactly(self, length: int) -> bytes:
        body = self.rfile.read(length)
        if len(body) < length:
            raise InvalidBody("cut short")
        return body

    def handle(self) -> None:
        # A client that goes away or stays silent is no fault of ours, and no news for the log.
        with contextlib.suppress(OSError):
            try:
                super().handle()
            except ValueError:  # the runtime's, over a path that it cannot parse
                self.path = "/"  # it parses it again for its first answer
                self.send_error(400)

    def log_request(self, *_: object, **__: object) -> None:
        """Nothing: a delivery has its own log line, and a URL may hold a bypass secret."""


runtime.spare(handler)


def _bounded(digits: str, base: int) -> int:
    """A length in bytes, of digits alone: int() would take signs, blanks and underscores, too."""
    if not re.fullmatch(r"[0-9]+" if base == 10 else r"[0-9A-Fa-f]+", digits):
        raise InvalidBody("malformed length")
    if len(digits.lstrip("0")) > 10 or (length := int(digits, base)) > MAX_READ:
        raise BodyTooLarge("declared")
    return length
