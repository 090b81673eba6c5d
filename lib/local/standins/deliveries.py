"""AI results to deliver: what a person chooses from, and what the benches send."""

from lib.jsontext import Json

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
