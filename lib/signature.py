"""ModelRiver's two signature schemes: which part of a delivery may be believed.

- Documented: `mr-signature` is the hex HMAC-SHA256 of the raw body
  (https://modelriver.com/docs/webhooks/signature-verification).
- Timestamped, in ModelRiver's sample receivers: `X-ModelRiver-Signature` is that of
  "<X-ModelRiver-Timestamp>." and the body, or the text of its `data` member as it stands there.

A delivery counts when either scheme verifies with any configured secret.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.errors import InvalidSignature
from lib.jsontext import find_member

# Seconds. A signature that covers the channel is taken at any age, since a replay does nothing. To
# one that does not, another channel could be added; it may be as old as ModelRiver's last attempt,
# 3 h 43 min after the first, which need not be signed anew. The documented scheme tells no age.
MAX_AGE = 4 * 3600
MAX_AHEAD = 300  # seconds that the sender's clock may be ahead
STALE = "signed too long ago, or ahead of our clock"


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """What the signature covers, and what came along with it."""

    text: bytes  # JSON that ModelRiver signed: the whole body, or the value of its `data` member
    envelope: bytes | None = None  # the body around a signed `data`, which anyone may have written
    # Too old to count without a channel in it: a captured `data` may come as a body of its own,
    # with another channel in a header.
    is_stale: bool = False


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes], now: float
) -> SignedDocument:
    """The part of `body` that ModelRiver signed, at `now` in Unix seconds.

    `headers` has names in lower case. Whatever the input, raises nothing but InvalidSignature.
    """
    if _matches(headers.get("mr-signature"), secrets, body):
        return SignedDocument(body)

    timestamp = headers.get("x-modelriver-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise InvalidSignature("no signature matches, and there is no timestamp")
    signature, prefix = headers.get("x-modelriver-signature"), f"{timestamp}.".encode()
    is_stale = not -MAX_AHEAD <= now - int(timestamp) <= MAX_AGE
    if _matches(signature, secrets, prefix + body):
        return SignedDocument(body, is_stale=is_stale)
    data = find_member(body, "data")
    if data is None or not _matches(signature, secrets, prefix + body[data]):
        raise InvalidSignature("no signature matches")
    if is_stale:
        raise InvalidSignature(STALE)
    return SignedDocument(body[data], body[: data.start] + b"null" + body[data.stop :])


def _matches(signature: str | None, secrets: Sequence[bytes], message: bytes) -> bool:
    if not signature:
        return False
    # As bytes, because compare_digest raises on text that is not ASCII.
    given = signature.encode("utf-8", "surrogateescape")
    return any(
        hmac.compare_digest(hmac.digest(secret, message, "sha256").hex().encode(), given)
        for secret in secrets
    )
