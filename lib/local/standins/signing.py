"""How ModelRiver signs a delivery (https://modelriver.com/docs/webhooks)."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lib.jsontext import Json
from lib.local.standins import wire

type Scheme = Literal["documented", "timestamped", "timestamped whole body"]
SCHEMES: tuple[Scheme, ...] = ("documented", "timestamped", "timestamped whole body")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request as it goes over the wire."""

    headers: Mapping[str, str]
    body: bytes


def sign(payload: Json | bytes, scheme: Scheme, secret: str, at: float | None = None) -> Delivery:
    """A delivery of `payload`, signed at `at` (Unix seconds, now by default).

    Raises ValueError for a number that is not finite, and RecursionError for bottomless nesting.
    """
    body = payload if isinstance(payload, bytes) else wire.write(payload).encode()
    timestamp = str(int(time.time() if at is None else at))
    headers = {"Content-Type": "application/json"}
    if scheme == "documented":
        headers |= {"mr-signature": _hmac(secret, body), "mr-timestamp": timestamp}
        if isinstance(payload, dict) and "channel_id" in payload:
            headers["mr-channel-id"] = str(payload["channel_id"])
    else:
        signed = body
        if scheme == "timestamped" and isinstance(payload, dict) and "data" in payload:
            signed = wire.write(payload["data"]).encode()
        headers["X-ModelRiver-Signature"] = _hmac(secret, timestamp.encode() + b"." + signed)
        headers["X-ModelRiver-Timestamp"] = timestamp
    return Delivery(headers, body)


def _hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
