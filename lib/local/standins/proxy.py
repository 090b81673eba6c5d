"""A TCP proxy that can be told to behave as networks do at their worst."""

import contextlib
import socket
import threading

from lib.local.standins.listener import Listener, connect, relay


class Proxy(Listener):
    """Hands bytes on to a port, both on loopback, until told otherwise."""

    def __init__(self, target: int, listen_on: int = 0) -> None:
        super().__init__(listen_on)
        self.target = target
        """The port that new connections are handed on to."""
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.cut()
        self.flow()

    def cut(self) -> None:
        """Close every connection; new ones are taken."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def swallow(self) -> None:
        """Take connections and bytes, and hand nothing on."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def serve(self, client: socket.socket) -> None:
        self._flowing.wait()
        with connect(self.target) as server:
            both = {client, server}
            with self._lock:
                self._sockets |= both
            try:
                relay(client, server, self._flowing.wait)
            finally:
                with self._lock:
                    self._sockets -= both
