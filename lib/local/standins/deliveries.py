"""What ModelRiver delivers (https://modelriver.com/docs/webhooks); AI results to choose from."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from lib.jsontext import Json

DELIVERY_TIMEOUT = 30.0
"""Seconds that ModelRiver waits for an answer."""
MOVIE: Json = {
    "title": "Inception",
    "description": "A thief who steals secrets through dreams.",
    "year": 2010,
}
PRESETS: dict[str, Json] = {
    "structured": {"title": "Inception", "description": "Dreams within dreams.", "year": 2010},
    "chat": {"choices": [{"message": {"role": "assistant", "content": "A chat completion."}}]},
    "text": "Bare text.",
    "chinese": {"title": "盗梦空间 🎬", "description": "梦境 — “secrets” 👩‍🚀"},
    "hostile": {
        "title": "<script>alert(1)</script><img src=x onerror=alert(2)>",
        "description": "NUL \0, a cut emoji \ud83d, '; DROP TABLE ai_content; --",
    },
    "large": {"title": "4 MB", "text": "x" * 4_000_000},
}
"""Of each kind one, by the name that `make send` and the console know it by."""


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
