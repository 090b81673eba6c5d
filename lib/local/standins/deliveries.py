"""What ModelRiver delivers (https://modelriver.com/docs/webhooks); AI results to choose from."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from lib.jsontext import Json

DELIVERY_TIMEOUT = 30.0
"""Seconds that ModelRiver waits for an answer."""
MOVIE: Json = {
    "title": "Inception",
    "description": "A thief who steals secrets through dreams.",
    "year": 2010,
}
_TEXT = "The provider's own answer, as it came."
PRESETS: dict[str, Json] = {
    "structured": {"title": "Inception", "description": "Dreams within dreams.", "year": 2010},
    "text": "Bare text.",
    "chat": {"choices": [{"message": {"role": "assistant", "content": "A chat completion."}}]},
    "openai": {"object": "response", "output": [{"content": [{"text": _TEXT}]}]},
    "anthropic": {"type": "message", "content": [{"type": "text", "text": _TEXT}]},
    "gemini": {"candidates": [{"content": {"parts": [{"text": _TEXT}]}}]},
    "chinese": {"title": "盗梦空间 🎬", "description": "梦境 — “secrets” 👩‍🚀"},
    "hostile": {
        "title": "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "description": "NUL \0, a cut emoji \ud83d, '; DROP TABLE ai_content; --",
    },
    "large": {"title": "4 MB", "text": "x" * 4_000_000},
}
"""Of each kind one, by the name that `make send` and the console know it by."""

type Payload = dict[str, Json]


def event(
    ai_result: Json, *, channel_id: Json, callback_url: Json, **members: Json
) -> dict[str, Json]:
    """A `task.ai_generated` payload as ModelRiver documents it, with `members` changed."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "type": "task.ai_generated",
        "event": "new_movie_suggestion",
        "channel_id": channel_id,
        "ai_response": {"data": ai_result},
        "callback_url": callback_url,
        "callback_required": True,
        "customer_data": {"user_id": "user_456", "category": "movies"},
        "meta": {"provider": "openai", "model": "gpt-4o"},
        "timestamp": now,
        **members,
    }


def nested(payload: Mapping[str, Json]) -> dict[str, Json]:
    """The payload in the envelope of ModelRiver's sample receivers."""
    outside = {"channel_id", "timestamp", "callback_url"}
    return {
        "channel_id": payload.get("channel_id"),
        "timestamp": int(time.time()),
        "data": {name: value for name, value in payload.items() if name not in outside},
        "callback_url": payload.get("callback_url"),
    }


def _bare(payload: Payload) -> Payload:
    """No type at all: the AI result itself is `data`."""
    kept = ("channel_id", "timestamp", "meta", "customer_data", "callback_url")
    response = payload["ai_response"]
    result = response["data"] if isinstance(response, dict) else None
    return {"status": "success", "data": result, **{name: payload[name] for name in kept}}


def _failed(payload: Payload) -> Payload:
    error: Json = {"code": "provider_error", "message": "The model is overloaded."}
    return {**payload, "ai_response": {"data": None, "error": error}}


def _test_mode(payload: Payload) -> Payload:
    meta: Json = {"provider": "Testing", "model": "test-mode", "test_mode": True}
    return {**payload, "meta": meta}


def _completed(payload: Payload) -> Payload:
    """Without an event name nobody waits, so there is no callback_url."""
    bare = _bare(payload)
    del bare["callback_url"]
    return {"type": "task.completed", **bare}


ENVELOPES: dict[str, Callable[[Payload], Payload]] = {
    "documented": lambda payload: payload,
    "nested": nested,
    "bare": _bare,
    "AI failed": _failed,
    "test mode": _test_mode,
    "completed": _completed,
}
"""Whole payloads by name, each made from the documented one."""
