"""TLS as the platforms' edges end it, with a certificate authority of one's own."""

import socket
import ssl
from pathlib import Path

import trustme

from lib.local.standins.listener import WITHIN, Listener, connect, relay


class Authority:
    """Issues one certificate, for loopback and for the names given."""

    def __init__(self, *names: str) -> None:
        self._authority = trustme.CA()
        issued = self._authority.issue_cert("127.0.0.1", "localhost", *names)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(self.context)
        self.certificate = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        """The server's certificate itself, as DER."""

    def write(self, file: Path) -> Path:
        """Write what a client has to trust."""
        file.write_bytes(self._authority.cert_pem.bytes())
        return file

    def take(self, client: socket.socket) -> ssl.SSLSocket:
        """The server's side of a connection, once the client has shaken hands. Raises OSError."""
        client.settimeout(WITHIN)
        return self.context.wrap_socket(client, server_side=True)


class Edge(Listener):
    """Ends TLS before a loopback port that does without."""

    def __init__(self, authority: Authority, target: int) -> None:
        super().__init__()
        self._authority, self._target = authority, target

    def serve(self, client: socket.socket) -> None:
        with self._authority.take(client) as inner, connect(self._target) as server:
            relay(inner, server)
