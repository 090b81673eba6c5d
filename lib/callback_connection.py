"""Connections to ModelRiver on which no answer is ever taken for another's.

Python's own http.client skips no informational answer but 100: a 103 would end a callback, and the
200 that follows it would be read by the next one on that connection.
"""

import contextlib
import io
import socket
from http.client import HTTPResponse
from typing import Any

from urllib3.connection import HTTPConnection

BODY_TIMEOUT = 1.0  # seconds for each piece of what follows the headers, in which nothing matters

_TCP_OPTIONS = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 1,
    "TCP_USER_TIMEOUT": 2500,  # ms until TCP must confirm: time is left for a fresh connection
}
SOCKET_OPTIONS = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in _TCP_OPTIONS.items()
    if hasattr(socket, name)  # macOS has not all of them
]


class _Reader(io.BufferedReader):
    """Ends the connection where more has come than the one answer."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__(raw)
        self._sock = sock

    def close(self) -> None:
        with contextlib.suppress(OSError):  # nothing is there
            self._sock.settimeout(0)
            if self.peek():
                self._sock.shutdown(socket.SHUT_RDWR)
        super().close()


class _FinalResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as the library has it
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        self.fp = _Reader(self.fp.detach(), sock)

    def begin(self) -> None:
        """Read up to the headers of the final answer."""
        super().begin()
        while self.status < 200:
            self.headers = None  # type: ignore[assignment]  # or it would not read on
            super().begin()
        self._sock.settimeout(BODY_TIMEOUT)


# HTTPSConnection inherits it.
HTTPConnection.response_class = _FinalResponse
