"""What listens on a loopback port, and what hands on bytes from one connection to another."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from socketserver import BaseRequestHandler, BaseServer, ThreadingTCPServer
from typing import Self

WITHIN = 30.0
"""Seconds for the other side to take a connection, and what it is sent."""


class Served(BaseServer):
    """A server that serves for as long as the `with` block, on a thread."""

    request_queue_size = 256  # with the library's 5, a second passes until a client asks again

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Listener(Served, ThreadingTCPServer):
    """Serves each connection on a thread of its own; how, is for a subclass."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        """On `port`, or on a free one."""
        super().__init__(("127.0.0.1", port), BaseRequestHandler)
        self.port: int = self.server_address[1]

    def serve(self, client: socket.socket) -> None:
        """The connection is closed once this returns or raises OSError."""
        raise NotImplementedError

    def finish_request(self, request: socket.socket, _: object) -> None:  # type: ignore[override]
        with contextlib.suppress(OSError):
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(request)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        request.close()  # without a FIN before, where it is to be a reset


def connect(port: int) -> socket.socket:
    """A connection to a loopback port. Raises OSError."""
    server = socket.create_connection(("127.0.0.1", port), timeout=WITHIN)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def relay(
    client: socket.socket, server: socket.socket, on_bytes: Callable[[], object] = lambda: None
) -> None:
    """Hand on bytes both ways until either side ends; `on_bytes` is called before. Raises OSError.

    On one thread, since two at once may not use a TLS connection.
    """
    other = {client: server, server: client}
    while True:
        in_hand = isinstance(client, ssl.SSLSocket) and client.pending()
        for source in [client] if in_hand else select.select([*other], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return
            on_bytes()
            other[source].sendall(data)
