"""Neon's proxy: ends TLS, tells branch and pooler from the host's name, asks for the password.

https://www.postgresql.org/docs/current/protocol-flow.html and RFC 5802, 7677 and 5929
"""

import base64
import contextlib
import hashlib
import hmac
import random
import re
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from lib.local.standins import tls

SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102
ITERATIONS = 4096
DOMAIN = "local.neon.localhost"
WAKE_WITHIN = 0.5
"""Seconds that a suspended compute takes until it answers."""


def _made_up(kind: str) -> str:
    """An id that looks like Neon's."""
    words = random.choice(("quiet", "misty", "amber")), random.choice(("river", "leaf", "stone"))
    return f"{kind}-{'-'.join(words)}-{secrets.token_hex(4)}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Branch:
    """A branch and its one compute."""

    name: str
    parent: str | None
    expires_at: str | None = None
    id: str = field(default_factory=lambda: _made_up("br"))
    endpoint: str = field(default_factory=lambda: _made_up("ep"))
    created_at: str = field(default_factory=now)
    suspended: bool = False
    used_at: float = field(default_factory=time.monotonic)
    """When a byte passed last, by the monotonic clock."""
    connections: set[socket.socket] = field(default_factory=set)
    waking: threading.Lock = field(default_factory=threading.Lock)

    def wake(self) -> None:
        """Return once the compute runs."""
        with self.waking:
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


class _Socket(ssl.SSLSocket):
    """A client's side of a TLS connection, with the host's name as the client sent it."""

    host: str = ""


class NeonProxy:
    """Listens for Postgres's clients; takes both ways into TLS."""

    def __init__(
        self,
        branch_at: Callable[[str], Branch | None],
        password: str,
        direct_port: int,
        pooled_port: int,
    ) -> None:
        """`branch_at` finds the branch of an endpoint's id."""
        self._branch_at = branch_at
        self._direct, self._pooled = direct_port, pooled_port
        self.authority = tls.Authority(f"*.{DOMAIN}")
        context = self._context = self.authority.context()
        context.set_alpn_protocols(["postgresql"])  # which sslnegotiation=direct demands
        context.sslsocket_class = _Socket
        context.sni_callback = _remember_host
        binding = hashlib.sha256(self.authority.certificate).digest()
        self._scram = Scram(password, binding)
        self._edge = tls.Edge(self._serve)

    @property
    def port(self) -> int:
        return self._edge.port

    def __enter__(self) -> Self:
        self._edge.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._edge.__exit__()

    def _serve(self, plain: socket.socket) -> None:
        if plain.recv(1, socket.MSG_PEEK) != b"\x16":  # else TLS begins at once
            if struct.unpack("!II", _exactly(plain, 8)) != (8, SSL_REQUEST):
                plain.sendall(_refusal("28000", "connection is insecure (try `sslmode=require`)"))
                return
            plain.sendall(b"S")
        with self._context.wrap_socket(plain, server_side=True) as client:
            assert isinstance(client, _Socket)
            try:
                self._hand_on(client)
            except Rejected as rejected:
                client.sendall(_refusal(*rejected.args))
            with contextlib.suppress(ValueError):  # the connection is gone already
                client.settimeout(1)
                client.unwrap()  # says that the end is meant

    def _hand_on(self, client: _Socket) -> None:
        startup = _exactly(client, struct.unpack("!I", _exactly(client, 4))[0] - 4)
        name = client.host.partition(".")[0]
        branch = self._branch_at(name.removesuffix("-pooler"))
        if branch is None:
            raise Rejected("XX000", "The requested endpoint could not be found")
        port = self._pooled if name.endswith("-pooler") else self._direct
        if struct.unpack("!I", startup[:4]) == (CANCEL_REQUEST,):
            with tls.connect(port) as server:
                server.sendall(struct.pack("!I", len(startup) + 4) + startup)
            return
        self._scram.demand(client)
        branch.wake()
        parameters = [*startup[4:].rstrip(b"\0").split(b"\0")]
        named = dict(zip(parameters[::2], parameters[1::2], strict=True))
        named |= {b"user": b"postgres", b"database": branch.id.encode()}
        renamed = b"".join(b"%b\0%b\0" % pair for pair in named.items()) + b"\0"
        with tls.connect(port) as server:
            server.sendall(struct.pack("!I", len(renamed) + 8) + startup[:4] + renamed)
            branch.connections.add(client)
            try:
                tls.relay(client, server, branch.used)
            finally:
                branch.connections.discard(client)


class Scram:
    """SCRAM-SHA-256 with or without the channel's binding, from the server's side."""

    def __init__(self, password: str, certificate_hash: bytes) -> None:
        self._binding = certificate_hash
        self._salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self._salt, ITERATIONS)
        client_key = _mac(salted, b"Client Key")
        self._stored_key = hashlib.sha256(client_key).digest()
        self._server_key = _mac(salted, b"Server Key")

    def demand(self, client: socket.socket) -> None:
        """Return once the client has proved that it knows the password. Raises Rejected."""
        client.sendall(_authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
        _, _, initial = _password_message(client).partition(b"\0")
        found = re.fullmatch(rb"(([pny])[^,]*,[^,]*,)(n=[^,]*,r=([^,]+))", initial[4:])
        if found is None:
            raise Rejected("08P01", "malformed SCRAM message")
        header, how, bare, nonce = found.groups()
        nonce += secrets.token_urlsafe(18).encode()
        first = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(self._salt), ITERATIONS)
        client.sendall(_authentication(11, first))
        without_proof, _, proof = _password_message(client).rpartition(b",p=")
        bound = header + (self._binding if how == b"p" else b"")
        expected = b"c=%b,r=%b" % (base64.b64encode(bound), nonce)
        signed = b",".join((bare, first, without_proof))
        key = bytes(
            a ^ b
            for a, b in zip(base64.b64decode(proof), _mac(self._stored_key, signed), strict=True)
        )
        known = hmac.compare_digest(hashlib.sha256(key).digest(), self._stored_key)
        if not known or without_proof != expected:
            raise Rejected("28P01", "password authentication failed")
        signature = base64.b64encode(_mac(self._server_key, signed))
        client.sendall(_authentication(12, b"v=" + signature))


def _remember_host(client: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
    client.host = host or ""  # type: ignore[attr-defined]


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _authentication(kind: int, content: bytes) -> bytes:
    return b"R" + struct.pack("!II", len(content) + 8, kind) + content


def _password_message(client: socket.socket) -> bytes:
    kind, length = struct.unpack("!cI", _exactly(client, 5))
    if kind != b"p" or length > 4096:
        raise Rejected("08P01", "a password was expected")
    return _exactly(client, length - 4)


def _refusal(sqlstate: str, message: str) -> bytes:
    content = f"SFATAL\0VFATAL\0C{sqlstate}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!I", len(content) + 4) + content


def _exactly(source: socket.socket, length: int) -> bytes:
    """Raises ConnectionError where the connection ends before."""
    data = b""
    while len(data) < length:
        piece = source.recv(length - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return data
