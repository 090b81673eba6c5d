"""SCRAM-SHA-256, with and without TLS's channel bound to it, from the server's side.

RFC 5802, 5929 and 7677; https://www.postgresql.org/docs/current/sasl-authentication.html
"""

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from collections.abc import Callable

MECHANISMS = b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
ITERATIONS = 4096


class Scram:
    """Knows one password, and the certificate that a client has to have seen."""

    def __init__(self, password: str, certificate: bytes) -> None:
        """The certificate is in DER."""
        self._binding = hashlib.sha256(certificate).digest()
        self._salt = secrets.token_bytes(16)
        self._salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self._salt, ITERATIONS)

    def verify(self, initial: bytes, ask: Callable[[bytes], bytes]) -> bytes | None:
        """What proves to the client that we know the password too, None where it does not.

        `initial` is the client's first message; `ask` sends ours, and returns the second.
        """
        found = re.fullmatch(rb"(([pny])[^,]*,[^,]*,)(n=[^,]*,r=([^,]+))", initial)
        if found is None:
            return None
        header, how, bare, nonce = found.groups()
        nonce += secrets.token_urlsafe(18).encode()
        first = b"r=%b,s=%b,i=%d" % (nonce, b64encode(self._salt), ITERATIONS)
        without_proof, _, proof = ask(first).rpartition(b",p=")
        bound = b64encode(header + (self._binding if how == b"p" else b""))
        signed = b",".join((bare, first, without_proof))
        key = _mac(self._salted, b"Client Key")
        signature = _mac(hashlib.sha256(key).digest(), signed)
        expected = b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True)))
        if without_proof != b"c=%b,r=%b" % (bound, nonce) or not hmac.compare_digest(
            proof, expected
        ):
            return None
        return b"v=" + b64encode(_mac(_mac(self._salted, b"Server Key"), signed))


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
