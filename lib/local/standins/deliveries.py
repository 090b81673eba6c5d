"""What can be delivered: AI results to start from, envelopes to put them in, and files of both."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from lib.jsontext import Json
from lib.local.standins import wire
from lib.local.standins.modelriver import SCHEMES, ModelRiver, Scheme

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
"""AI results by name."""

type _Payload = dict[str, Json]


def _bare(payload: _Payload) -> _Payload:
    """No type at all: the AI result itself is `data`."""
    kept = ("channel_id", "timestamp", "meta", "customer_data", "callback_url")
    response = payload["ai_response"]
    result = response["data"] if isinstance(response, dict) else None
    return {"status": "success", "data": result, **{name: payload[name] for name in kept}}


def _failed(payload: _Payload) -> _Payload:
    error: Json = {"code": "provider_error", "message": "The model is overloaded."}
    return {**payload, "ai_response": {"data": None, "error": error}}


def _test_mode(payload: _Payload) -> _Payload:
    meta: Json = {"provider": "Testing", "model": "test-mode", "test_mode": True}
    return {**payload, "meta": meta}


def _completed(payload: _Payload) -> _Payload:
    """Without an event name nobody waits, so there is no callback_url."""
    bare = _bare(payload)
    del bare["callback_url"]
    return {"type": "task.completed", **bare}


ENVELOPES: dict[str, Callable[[_Payload], _Payload]] = {
    "documented": lambda payload: payload,
    "nested": ModelRiver.nested,
    "bare": _bare,
    "AI failed": _failed,
    "test mode": _test_mode,
    "completed": _completed,
}
"""Whole payloads by name, each made from the documented one."""


class NoDelivery(ValueError):
    """A file that holds none; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A delivery as a file holds it: to be signed anew."""

    payload: _Payload
    scheme: Scheme

    def text(self) -> str:
        """The file's content."""
        return wire.write({"scheme": self.scheme, "delivery": self.payload}, indent=2) + "\n"

    @classmethod
    def of(cls, value: Json) -> "Saved | None":
        """What a file's JSON says, None where it is no saved delivery but an AI result, say."""
        match value:
            case {"scheme": str(name), "delivery": dict(payload), **rest} if not rest:
                for scheme in SCHEMES:
                    if scheme == name:
                        return cls(payload, scheme)
        return None

    @classmethod
    def read(cls, text: str) -> "Saved":
        """Raises NoDelivery."""
        try:
            found = cls.of(wire.read(text))
        except json.JSONDecodeError as error:
            raise NoDelivery(f"That file is no delivery: it is not JSON ({error}).") from None
        if found is None:
            raise NoDelivery(
                "That file is no delivery: one that was saved here has a scheme and a delivery."
            )
        return found
