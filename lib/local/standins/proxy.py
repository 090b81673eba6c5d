"""A TCP proxy that can be told to behave as networks do at their worst."""

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """Hands bytes on to a port, both on loopback, until told otherwise."""

    def __init__(self, target: int, listen_on: int = 0) -> None:
        self.target = target
        """The port that new connections are handed on to."""
        self._listener = socket.create_server(("127.0.0.1", listen_on), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
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

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            self._flowing.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                return
            server.settimeout(None)
            with server:
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets |= {client, server}
                back = threading.Thread(target=self._hand_on, args=(server, client), daemon=True)
                back.start()
                self._hand_on(client, server)
                back.join()
                with self._lock:
                    self._sockets -= {client, server}

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
