"""The signed document to a typed event, whichever of ModelRiver's envelopes it came in.

Three are met (https://modelriver.com/docs/webhooks, and ModelRiver's sample receivers):

- documented: `type`, `event`, `ai_response`, `meta` and the rest at the top;
- nested: the same members inside `data`, with `channel_id` and `callback_url` beside it or inside;
- bare: no `type` anywhere, and `data` is the AI result itself.

What no signature covers is not believed. Two members are used all the same, because in real
deliveries they travel outside a signed `data`, even as headers: `channel_id` and `callback_url`.
That is safe because a callback goes to ModelRiver's own origin or nowhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.errors import InvalidBody
from lib.jsontext import Json, coalesce, parse, to_text
from lib.signature import SignedDocument

_AI_GENERATED = "task.ai_generated"
_TYPES = {_AI_GENERATED, "task.completed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AiGenerated:
    """An AI result for which somebody waits."""

    channel_id: str
    event: str | None
    ai_result: Json
    customer_data: Json
    meta: Mapping[str, Json]
    callback_url: str
    """As it came; whether it is a URL of ModelRiver's is for the callback to judge."""
    timestamp: float | None
    """When ModelRiver had the AI result, in Unix seconds; None where nothing signed tells."""

    def age(self, now: float) -> float | None:
        """Seconds from the AI result to `now` (Unix seconds), None where that is not known."""
        return None if self.timestamp is None else now - self.timestamp


def read(signed: SignedDocument, headers: Mapping[str, str]) -> AiGenerated | None:
    """The event in a signed document, or None where there is nothing to store.

    There is nothing to store for another `type`, and where no `callback_url` says that somebody
    waits. Raises InvalidBody.
    """
    document = parse(signed.text)
    if signed.envelope is None:
        if not isinstance(document, dict):
            raise InvalidBody("not an object")
        beside, signed_beside, data = document, document, document.get("data")
    else:
        beside, signed_beside, data = _object(parse(signed.envelope)), {}, document

    if signed_beside.get("type") is not None or "ai_response" in signed_beside:
        envelope, ai_result = signed_beside, _unwrap(signed_beside)
    elif _is_envelope(data):
        envelope, ai_result = _object(data), _unwrap(_object(data))
    else:
        envelope, ai_result = {**signed_beside, "event": None}, data

    callback_url = _first(
        envelope.get("callback_url"),
        beside.get("callback_url"),
        headers.get("x-modelriver-callback-url"),
    )
    if coalesce(envelope.get("type"), _AI_GENERATED) != _AI_GENERATED or callback_url is None:
        return None
    channel_id = _first(
        _identifier(envelope.get("channel_id")),
        _identifier(beside.get("channel_id")),
        headers.get("mr-channel-id"),
    )
    event = envelope.get("event")
    return AiGenerated(
        # A redelivery repeats the signed text, so its digest tells it from others just as well.
        channel_id=channel_id or f"sha256:{hashlib.sha256(signed.text).hexdigest()}",
        event=None if event is None else to_text(event),
        ai_result=ai_result,
        customer_data=envelope.get("customer_data"),
        meta=_object(envelope.get("meta")),
        callback_url=callback_url,
        timestamp=_unix_seconds(
            coalesce(envelope.get("timestamp"), signed_beside.get("timestamp"))
        ),
    )


def _unwrap(envelope: Mapping[str, Json]) -> Json:
    """The AI result itself, which the documented envelope keeps in `ai_response.data`."""
    response = envelope.get("ai_response", envelope.get("data"))
    return response["data"] if isinstance(response, dict) and "data" in response else response


def _is_envelope(data: Json) -> bool:
    # An AI result may have a member `type` of its own.
    kind = _object(data).get("type")
    return isinstance(kind, str) and kind in _TYPES


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _identifier(value: Json) -> Json:
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def _first(*candidates: Json) -> str | None:
    """The text of the first that is neither null nor empty, fit to be stored."""
    found = coalesce(*(None if each == "" else each for each in candidates))
    return None if found is None else to_text(found).replace("\0", "\ufffd")  # headers may hold it


def _unix_seconds(timestamp: Json) -> float | None:
    """Unix seconds of an ISO 8601 text or of a number of seconds; both are met."""
    try:
        match timestamp:
            case bool():
                return None
            case int() | float():
                return float(timestamp)
            case str():
                moment = datetime.fromisoformat(timestamp)
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    return None
