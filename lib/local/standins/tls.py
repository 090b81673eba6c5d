"""TLS as the platforms' edges end it, with a certificate authority of one's own."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import trustme

HANDSHAKE_WITHIN = 30.0
"""Seconds for a client to say what it wants; and to take what it is sent."""


class Authority:
    """Issues one certificate, for loopback and for the names given."""

    def __init__(self, *names: str) -> None:
        self._authority = trustme.CA()
        self._certificate = self._authority.issue_cert("127.0.0.1", "localhost", *names)

    def write(self, file: Path) -> Path:
        """Write what a client has to trust."""
        file.write_bytes(self._authority.cert_pem.bytes())
        return file

    def context(self) -> ssl.SSLContext:
        """For the server's side of a connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate.configure_cert(context)
        return context

    @property
    def certificate(self) -> bytes:
        """The server's certificate itself, as DER."""
        return ssl.PEM_cert_to_DER_cert(self._certificate.cert_chain_pems[0].bytes().decode())


class Edge:
    """Listens on a loopback port, and serves each connection on a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        """`serve` gets each connection, which is closed once it returns or raises OSError."""
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.settimeout(HANDSHAKE_WITHIN)
                threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._serve(client)


def connect(port: int) -> socket.socket:
    """A connection to a loopback port. Raises OSError."""
    server = socket.create_connection(("127.0.0.1", port), timeout=HANDSHAKE_WITHIN)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def relay(client: ssl.SSLSocket, server: socket.socket, on_bytes: Callable[[], None]) -> None:
    """Hand on bytes both ways until either side ends. Raises OSError.

    On one thread, since two at once may not use a TLS connection.
    """
    other = {client: server, server: client}
    while True:
        ready = [client] if client.pending() else select.select([*other], [], [])[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            on_bytes()
            other[source].sendall(data)
