"""Neon's proxy: ends TLS, tells branch and pooler from the host's name, asks for the password.

https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import contextlib
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.local.standins.listener import Listener, connect, relay
from lib.local.standins.scram import MECHANISMS, Scram
from lib.local.standins.tls import Authority

TLS_BEGINS = b"\x16"
SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102
DOMAIN = "local.neon.localhost"
ROLE, DATABASE = "neondb_owner", "neondb"
"""As a client names them; Postgres knows other names."""
WAKE_WITHIN = 0.5
"""Seconds that a suspended compute takes until it answers."""


@dataclass(slots=True)
class Branch:
    """A branch and its one compute."""

    name: str
    parent: str | None
    expires_at: str | None = None
    # neonctl tells an id from a name by its form.
    id: str = field(default_factory=lambda: f"br-quiet-river-{secrets.token_hex(4)}")
    suspended: bool = False
    used_at: float = field(default_factory=time.monotonic)
    """When a byte passed last, by the monotonic clock."""
    connections: set[socket.socket] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        return self.id.replace("br-", "ep-", 1)

    def wake(self) -> None:
        """Return once the compute runs."""
        if self.suspended:
            time.sleep(WAKE_WITHIN)
        self.suspended = False
        self.used()

    def used(self) -> None:
        self.used_at = time.monotonic()

    def suspend(self) -> None:
        """Scale to zero: every connection is cut."""
        self.suspended = True
        for each in list(self.connections):
            with contextlib.suppress(OSError):  # it has just ended
                each.shutdown(socket.SHUT_RDWR)


class Rejected(Exception):
    """SQLSTATE and message."""


class NeonProxy(Listener):
    """Listens for Postgres's clients; takes both ways into TLS."""

    def __init__(
        self, branches: Mapping[str, Branch], password: str, direct_port: int, pooled_port: int
    ) -> None:
        """`branches` has them by id."""
        super().__init__()
        self._branches = branches
        self._ports = {"": direct_port, "-pooler": pooled_port}
        self.authority = Authority(f"*.{DOMAIN}")
        self.authority.context.set_alpn_protocols(["postgresql"])  # sslnegotiation=direct wants it
        self.authority.context.sni_callback = _remember_host  # type: ignore[assignment]
        self._scram = Scram(password, self.authority.certificate)

    def serve(self, client: socket.socket) -> None:
        if client.recv(1, socket.MSG_PEEK) != TLS_BEGINS:
            if _exactly(client, 8) != struct.pack("!II", 8, SSL_REQUEST):
                reason = "connection is insecure (try `sslmode=require`)"
                client.sendall(_refusal("28000", reason))
                return
            client.sendall(b"S")
        with self.authority.take(client) as inner:
            try:
                self._hand_on(inner)
            except Rejected as rejected:
                inner.sendall(_refusal(*rejected.args))
            with contextlib.suppress(ValueError):  # the connection is gone already
                inner.settimeout(1)
                inner.unwrap()  # says that the end is meant

    def _hand_on(self, client: ssl.SSLSocket) -> None:
        (length,) = struct.unpack("!I", _exactly(client, 4))
        startup = _exactly(client, length - 4)
        name = (client.server_hostname or "").partition(".")[0]
        endpoint, pooler, _ = name.partition("-pooler")
        branch = self._branches.get(endpoint.replace("ep-", "br-", 1))
        if branch is None:
            raise Rejected("XX000", "The requested endpoint could not be found")
        if not startup.startswith(struct.pack("!I", CANCEL_REQUEST)):
            self._demand_password(client)
            branch.wake()
        for ours, theirs in {ROLE: "postgres", DATABASE: branch.id}.items():
            startup = startup.replace(f"\0{ours}\0".encode(), f"\0{theirs}\0".encode(), 1)
        with connect(self._ports[pooler]) as server:
            server.sendall(_message(b"", startup))
            branch.connections.add(client)
            try:
                relay(client, server, branch.used)
            finally:
                branch.connections.discard(client)

    def _demand_password(self, client: ssl.SSLSocket) -> None:
        def ask(kind: int, content: bytes) -> bytes:
            client.sendall(_authentication(kind, content))
            _, length = struct.unpack("!cI", _exactly(client, 5))
            return _exactly(client, length - 4)

        # The mechanism's name and the length come before SCRAM's own first message.
        initial = ask(10, MECHANISMS).partition(b"\0")[2][4:]
        proof = self._scram.verify(initial, lambda first: ask(11, first))
        if proof is None:
            raise Rejected("28P01", "password authentication failed")
        client.sendall(_authentication(12, proof))


def _remember_host(client: ssl.SSLSocket, host: str | None, _: ssl.SSLContext) -> None:
    client.server_hostname = host


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


def _authentication(kind: int, content: bytes) -> bytes:
    return _message(b"R", struct.pack("!I", kind) + content)


def _refusal(sqlstate: str, message: str) -> bytes:
    return _message(b"E", f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode())


def _exactly(source: socket.socket, length: int) -> bytes:
    """Raises ConnectionError where the connection ends before."""
    data = b""
    while len(data) < length:
        piece = source.recv(length - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data
