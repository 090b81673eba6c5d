"""JSON text to values and back: strict on the way in, compact on the way out.

What comes out of `parse` can be stored by Postgres as text and JSONB, and dumped again, without
another look: no NUL, no lone surrogate, no number that is not finite, no bottomless nesting.
"""

import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Never

from lib.errors import InvalidBody

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

MAX_DEPTH = 500
"""Levels of nesting. CPython's parser gives up somewhere near 1,000, less what is on the stack."""

MAX_MEMBERS = 100
"""Members of a body around `data`; a stranger's thousands are not looked at."""

_BEFORE_NAME = re.compile(r"[ \t\n\r]*[{,][ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole surrogate pair
    r"|(?P<unstorable>u0000|u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|.)",
    re.DOTALL,
)


def parse(text: bytes) -> Json:
    r"""The value of a JSON text in UTF-8; `\u0000` and lone surrogates in it become U+FFFD.

    Postgres stores neither in text or JSONB (https://www.postgresql.org/docs/current/
    datatype-json.html). A number beyond a double's range becomes null, as in JavaScript.

    Raises InvalidBody where the text is not JSON (RFC 8259: NaN and a byte-order mark are not),
    nests deeper than MAX_DEPTH, or holds an integer longer than Python converts (4,300 digits).
    """
    try:
        value: Json = _decoder.decode(_replace_unstorable(text.decode()))
    except (ValueError, RecursionError) as error:
        raise InvalidBody(type(error).__name__) from None
    if not _is_shallow(value):
        raise InvalidBody("nested too deep")
    return value


def dump(value: Json) -> str:
    """The value as compact JSON text."""
    return _encode(value)


def to_text(value: Json) -> str:
    """A string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else dump(value)


def coalesce(*values: Json) -> Json:
    """The first value that is not null, as in SQL; null where there is none."""
    return next((value for value in values if value is not None), None)


def find_member(document: bytes, name: str) -> slice | None:
    """Where the value of a member stands in the text of a JSON object; None where it does not.

    What a signature over a part of the text covers, a parse and a dump would not survive. Neither
    is there one where the name stands twice, which no sender means. The object need not be JSON to
    its end.
    """
    try:
        text = document.decode()
        found = list(itertools.islice(_members(text), MAX_MEMBERS + 1))
    except (ValueError, RecursionError):
        return None
    spans = [(start, end) for each, start, end in found if each == name]
    if len(spans) != 1 or len(found) > MAX_MEMBERS:
        return None
    start, end = spans[0]
    first = len(text[:start].encode())
    return slice(first, first + len(text[start:end].encode()))


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, and start and end of the value, of each member of the object that `text` begins as."""
    at = 0
    while before := _BEFORE_NAME.match(text, at):
        name, at = _decoder.raw_decode(text, before.end())
        if not (colon := _COLON.match(text, at)):
            return
        _, at = _decoder.raw_decode(text, colon.end())
        yield name, colon.end(), at


def _replace_unstorable(text: str) -> str:
    # In valid UTF-8 only an escape can make a NUL or a lone surrogate, and hardly any text has one.
    if not ("\\u0000" in text or "\\ud" in text or "\\uD" in text):
        return text
    return _ESCAPE.sub(lambda found: "\\ufffd" if found["unstorable"] else found[0], text)


def _is_shallow(value: Json) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return True
    return False


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
