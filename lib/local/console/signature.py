"""How a delivery is signed, to be shown beside it."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lib.jsontext import Json, find_member
from lib.local.console.entry import SHOWN


@dataclass(frozen=True, slots=True)
class _Claim:
    """That a header's value signs a part of the body."""

    header: str
    value: str
    prefix: str
    over: str
    part: slice

    def holds(self, body: bytes, secret: str) -> bool:
        message = self.prefix.encode() + body[self.part]
        made = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return hmac.compare_digest(made.encode(), self.value.encode())


def explain(headers: Mapping[str, str], body: bytes, secrets: Iterable[str]) -> dict[str, Json]:
    """Which header signs what, and whether with one of `secrets`.

    The signed text is told as UTF-16 positions in what is shown of the body. Where nothing is
    signed, `header` is empty.
    """
    claims = list(_claims(headers, body))
    if not claims:
        return {"header": "", "right": False}
    keys = list(secrets)
    right = [each for each in claims if any(each.holds(body, key) for key in keys)]
    claim = (right or claims)[0]
    return {
        "header": claim.header,
        "prefix": claim.prefix,
        "over": claim.over,
        "right": bool(right),
        "start": _utf16(body[: min(claim.part.start, SHOWN)]),
        "end": _utf16(body[: min(claim.part.stop, SHOWN)]),
        "bytes": claim.part.stop - claim.part.start,
    }


def _claims(headers: Mapping[str, str], body: bytes) -> Iterator[_Claim]:
    lower = {name.lower(): (name, value) for name, value in headers.items()}
    whole = slice(0, len(body))
    if found := lower.get("mr-signature"):
        yield _Claim(*found, "", "body", whole)
    if found := lower.get("x-modelriver-signature"):
        prefix = f"{lower.get('x-modelriver-timestamp', ('', ''))[1]}."
        if data := find_member(body, "data"):
            yield _Claim(*found, prefix, "data", data)
        yield _Claim(*found, prefix, "body", whole)


def _utf16(text: bytes) -> int:
    """How long a browser says that the text is."""
    return len(text.decode(errors="ignore").encode("utf-16-le")) // 2
