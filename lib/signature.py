"""ModelRiver's two signature schemes: which part of a delivery may be believed.

- Documented: `mr-signature` is the hex HMAC-SHA256 of the raw body
  (https://modelriver.com/docs/webhooks/signature-verification).
- Timestamped, used by ModelRiver's own sample receivers: `X-ModelRiver-Signature` is the hex
  HMAC-SHA256 of "<X-ModelRiver-Timestamp>." and the text of the top-level `data` member exactly as
  it stands in the body, or of the whole body.

A delivery counts when either scheme verifies with any configured secret.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.errors import InvalidSignature
from lib.jsontext import find_member

# Seconds that a timestamped signature is taken for where it does not cover the channel, since
# another could be written beside it. ModelRiver's last attempt comes 3 h 43 min after the first,
# and need not be signed anew. Where the channel is signed, a replay does nothing at any age.
MAX_AGE = 4 * 3600
MAX_AHEAD = 300  # seconds that the sender's clock may be ahead
STALE = "signed too long ago, or ahead of our clock"

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """What the signature covers, and what came along with it."""

    text: bytes  # JSON that ModelRiver signed: the whole body, or the value of its `data` member
    envelope: bytes | None = None  # the body around a signed `data`, which anyone may have written
    # Whether it counts only with a channel in it: the text of a signed `data` verifies as a body of
    # its own, too, with another channel in a header.
    is_stale: bool = False


def verify(
    body: bytes, headers: Mapping[str, str], secrets: Sequence[bytes], now: float
) -> SignedDocument:
    """The part of `body` that ModelRiver signed.

    `headers` has names in lower case; `now` is in Unix seconds. Raises InvalidSignature,
    whatever the input.
    """
    if _matches(headers.get("mr-signature"), secrets, body):
        return SignedDocument(body)

    timestamp = headers.get("x-modelriver-timestamp", "")
    if not _UNIX_SECONDS.fullmatch(timestamp):
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
