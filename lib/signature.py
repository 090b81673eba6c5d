"""ModelRiver's two signature schemes: which part of a delivery may be believed.

- Documented: `mr-signature` is the hex HMAC-SHA256 of the raw body
  (https://modelriver.com/docs/webhooks/signature-verification).
- Timestamped, used by ModelRiver's own sample receivers: `X-ModelRiver-Signature` is the hex
  HMAC-SHA256 of "<X-ModelRiver-Timestamp>." and the text of the top-level `data` member exactly as
  it stands in the body, or of the whole body.

A delivery counts when either scheme verifies with any configured secret.
"""

import hmac
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lib.errors import InvalidSignature
from lib.jsontext import members

TOLERANCE = 300
"""Seconds by which a signed timestamp may differ from now, either way."""

MAX_MEMBERS = 100
"""Members of a body around `data`; a stranger's thousands are not looked at."""

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """What the signature covers, and what came along with it."""

    text: bytes
    """JSON that ModelRiver signed: the whole body, or the value of its `data` member."""
    envelope: bytes | None = None
    """The body around a signed `data`, with null in its place: anyone may have written this."""


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
    if not _UNIX_SECONDS.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE:
        raise InvalidSignature("no signature matches, and no timestamp is fresh")
    signature, prefix = headers.get("x-modelriver-signature"), f"{timestamp}.".encode()
    if _matches(signature, secrets, prefix + body):
        return SignedDocument(body)
    if parted := _part_data(body):
        data, envelope = parted
        if _matches(signature, secrets, prefix + data):
            return SignedDocument(data, envelope)
    raise InvalidSignature("no signature matches")


def _matches(signature: str | None, secrets: Sequence[bytes], message: bytes) -> bool:
    if not signature:
        return False
    # As bytes, because compare_digest raises on text that is not ASCII.
    given = signature.encode("utf-8", "surrogateescape")
    return any(
        hmac.compare_digest(hmac.digest(secret, message, "sha256").hex().encode(), given)
        for secret in secrets
    )


def _part_data(body: bytes) -> tuple[bytes, bytes] | None:
    """The text of the one top-level `data` member, and the body with null in its place."""
    try:
        text = body.decode()
        found = list(itertools.islice(members(text), MAX_MEMBERS + 1))
    except (ValueError, RecursionError):
        return None
    spans = [(start, end) for name, start, end in found if name == "data"]
    if len(spans) != 1 or len(found) > MAX_MEMBERS:
        return None  # given twice, the one that is verified might not be the one that is used
    start, end = spans[0]
    return text[start:end].encode(), (text[:start] + "null" + text[end:]).encode()
