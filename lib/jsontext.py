"""JSON text to values and back: strict on the way in, compact on the way out.

What `parse` returns, Postgres can store as text and JSONB: it holds no NUL, no lone surrogate and
no number that is not finite.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator

from lib.errors import InvalidBody

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

MAX_MEMBERS = 100  # of a body around `data`; a stranger's thousands are not looked at

_BEFORE_NAME = re.compile(r'[ \t\n\r]*[{,][ \t\n\r]*(?=")')
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole surrogate pair
    r"|(u0000|u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|.)"
)


def parse(text: bytes) -> Json:
    r"""The value of a JSON text in UTF-8; `\u0000` and lone surrogates in it become U+FFFD.

    Postgres stores neither (https://www.postgresql.org/docs/current/datatype-json.html). A number
    beyond a double's range becomes null, as in JavaScript. Raises InvalidBody where the text is not
    JSON (RFC 8259), or holds more than Python converts: 4,300 digits, some thousand levels.
    """
    try:
        decoded = text.decode()
        # In valid UTF-8 only an escape can make a NUL or a lone surrogate, and hardly any does.
        if "\\u0000" in decoded or "\\ud" in decoded or "\\uD" in decoded:
            decoded = _ESCAPE.sub(lambda found: "\\ufffd" if found[1] else found[0], decoded)
        value: Json = _decoder.decode(decoded)
    except (ValueError, RecursionError) as error:
        raise InvalidBody(type(error).__name__) from None
    return value


def dump(value: Json) -> str:
    """The value as compact JSON text. Raises InvalidBody where it nests too deep for that."""
    try:
        return _encode(value)
    except RecursionError:
        raise InvalidBody("nested too deep") from None


def to_text(value: Json) -> str:
    """A string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else dump(value)


def coalesce(*values: Json) -> Json:
    """The first value that is not null, as in SQL; null where there is none."""
    return next((value for value in values if value is not None), None)


def find_member(document: bytes, name: str) -> slice | None:
    """Where the value of a member stands in the text of a JSON object.

    For a signature that covers these very bytes. None where it is not there, or there twice.
    """
    try:
        members = list(itertools.islice(_members(document.decode("latin-1")), MAX_MEMBERS))
    except (ValueError, RecursionError):
        return None
    values = [value for each, value in members if each == name]
    return values[0] if len(values) == 1 else None


def _members(text: str) -> Iterator[tuple[str, slice]]:
    """Each member of the object that `text` begins as: its name, and where its value is."""
    at = 0
    while before := _BEFORE_NAME.match(text, at):
        name, at = _decoder.raw_decode(text, before.end())
        if not (colon := _COLON.match(text, at)):
            return
        _, at = _decoder.raw_decode(text, colon.end())
        yield name, slice(colon.end(), at)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


# NaN and Infinity are no JSON: int raises ValueError.
_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=int)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
