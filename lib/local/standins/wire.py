"""JSON text as a person types it, and as ModelRiver puts it on the wire."""

import json
import re
from typing import Never

from lib.jsontext import Json

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>-?Infinity|NaN)')
_SURROGATE = re.compile("[\ud800-\udfff]")


def read(text: str) -> Json:
    """The value of a JSON text. Raises json.JSONDecodeError, which tells the place."""
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except _NoJson as error:
        # The parser does not say where it met the name, and strings may hold the same letters.
        places = (found.start() for found in _CONSTANT.finditer(text) if found["constant"])
        raise json.JSONDecodeError(f"{error} is not JSON", text, next(places, 0)) from None
    except RecursionError:
        raise json.JSONDecodeError("Nested too deep", text, 0) from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise json.JSONDecodeError("An integer of over 4,300 digits", text, 0) from None
    return value


def write(value: Json, indent: int | None = None) -> str:
    """The value as JSON text, which UTF-8 can hold: lone surrogates are escaped, nothing else.

    Compact without `indent`. Raises ValueError for a number that is not finite, and RecursionError
    for bottomless nesting.
    """
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        indent=indent,
        separators=None if indent else (",", ":"),
    )
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class _NoJson(Exception):
    """The name of a number that Python's parser takes and JSON does not have."""


def _refuse(name: str) -> Never:
    raise _NoJson(name)
