"""The signed document to a typed event, whichever of ModelRiver's envelopes it came in.

Three are met (https://modelriver.com/docs/webhooks, and ModelRiver's sample receivers):

- documented: `event`, `ai_response`, `meta` and the rest at the top of the body;
- nested: the same members inside `data`, any of them beside it;
- bare: `data` is the AI result itself.

So a member is looked for in several places, nearest to the AI result first. What is not signed is
not believed, but for `channel_id` and `callback_url`, which real deliveries have outside a signed
`data`, even as headers. That is safe: a callback goes to ModelRiver's origin or nowhere. And an
`error` beside a signed null is believed: nothing is stored because of it.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.errors import InvalidBody, InvalidSignature
from lib.jsontext import Json, coalesce, parse, to_text
from lib.signature import STALE, SignedDocument

type Members = Mapping[str, Json]

_AI_GENERATED = "task.ai_generated"
_TYPES = (_AI_GENERATED, "task.completed")
MAX_KEY = 1000  # bytes of a channel or event that are kept as they are; an index holds some 2,700
YEAR_2001, YEAR_2101 = 978_307_200, 4_133_980_800


@dataclass(frozen=True, slots=True, kw_only=True)
class AiGenerated:
    """An AI result for which somebody waits."""

    channel_id: str
    event: str | None
    ai_result: Json
    ai_failed: bool  # there is no AI result, and ModelRiver says that there was an error
    customer_data: Json
    meta: Members
    callback_url: str  # as it came: whether it is ModelRiver's is for the callback to judge
    timestamp: float | None  # Unix seconds of the AI result; None where nothing signed tells

    def age(self, now: float) -> float | None:
        """Seconds from the AI result to `now` (Unix seconds), None where that is not known."""
        return None if self.timestamp is None else now - self.timestamp


def read(signed: SignedDocument, headers: Mapping[str, str]) -> AiGenerated | None:
    """The event in a signed document; None for another `type`, or where nobody waits for an answer.

    `headers` has names in lower case. Raises InvalidBody, and InvalidSignature where an old
    signature does not cover a channel.
    """
    body, data, envelope = _open(signed)
    believed = [envelope] if signed.envelope else [envelope, body]
    anywhere = [*believed, body, _object(data), _from_headers(headers)]
    callback_url = _first("callback_url", anywhere, lambda url: url != "")
    other_type = _first("type", believed, lambda kind: kind != _AI_GENERATED)
    if callback_url is None or other_type is not None:
        return None

    response, ai_result = _ai_response(envelope)
    error = _first("error", [response, envelope, body], _is_error)
    event = _first("event", believed)
    return AiGenerated(
        channel_id=_channel(signed, anywhere, to_text(callback_url)),
        event=None if event is None else _key(event),
        ai_result=ai_result,
        ai_failed=ai_result is None and error is not None,
        customer_data=coalesce(_first("customer_data", believed), _first("cached_data", believed)),
        meta=_object(_first("meta", [*believed, response], lambda meta: bool(_object(meta)))),
        callback_url=to_text(callback_url),
        timestamp=_unix_seconds(_first("timestamp", believed)),
    )


def _open(signed: SignedDocument) -> tuple[Members, Json, Members]:
    """The body, its `data`, and which of them is the envelope; a bare `data` gets one."""
    document = parse(signed.text)
    if signed.envelope is not None:
        body, data = _object(parse(signed.envelope)), document
    elif isinstance(document, dict):
        body, data = document, document.get("data")
        if "ai_response" in body:
            return body, data, body
    else:
        raise InvalidBody("not an object")
    # An AI result may have a member `type` of its own.
    is_envelope = "ai_response" in (inner := _object(data)) or inner.get("type") in _TYPES
    return body, data, inner if is_envelope else {"data": data}


def _channel(signed: SignedDocument, places: list[Members], callback_url: str) -> str:
    """The channel; without one, a digest that a redelivery shares, and no other delivery."""
    found = _first("channel_id", places, _is_identifier)
    if signed.is_stale and _first("channel_id", places[:-1], _is_identifier) is None:
        raise InvalidSignature(STALE)
    return _digest(signed.text + callback_url.encode()) if found is None else _key(found)


def _ai_response(envelope: Members) -> tuple[Members, Json]:
    """The members of the `ai_response`, if any, and the AI result, which may be one of them."""
    if "ai_response" not in envelope:
        return {}, envelope.get("data")
    response = _object(envelope["ai_response"])
    is_wrapped = "data" in response or _is_error(response.get("error"))
    return response, response.get("data") if is_wrapped else envelope["ai_response"]


def _from_headers(headers: Mapping[str, str]) -> Members:
    """The two members that may come as headers, without the NUL that Postgres does not store."""
    names = {"channel_id": "mr-channel-id", "callback_url": "x-modelriver-callback-url"}
    return {member: headers.get(name, "").replace("\0", "\ufffd") for member, name in names.items()}


def _first(
    name: str, places: Iterable[Members], fits: Callable[[Json], bool] = lambda _: True
) -> Json:
    """The first member of that name that fits; None where none does."""
    found = (place[name] for place in places if place.get(name) is not None)
    return next(filter(fits, found), None)


def _object(value: Json) -> Members:
    return value if isinstance(value, dict) else {}


def _is_error(value: Json) -> bool:
    return value not in (None, False, "")


def _is_identifier(value: Json) -> bool:
    return value != "" and isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _key(value: Json) -> str:
    """The text, or where it is too long for an index, its digest."""
    text = to_text(value)
    return text if len(text.encode()) <= MAX_KEY else _digest(text.encode())


def _digest(text: bytes) -> str:
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _unix_seconds(timestamp: Json) -> float | None:
    """Of ISO 8601, seconds or milliseconds; None for anything else, and outside this century."""
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(timestamp, str):
            moment = datetime.fromisoformat(timestamp)
            timestamp = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        if isinstance(timestamp, (int, float)):
            either = (timestamp, timestamp / 1000)
            return next((each for each in either if YEAR_2001 <= each < YEAR_2101), None)
    return None
