"""The row that is kept of an AI result. This is the file to edit to keep other columns.

Each is a field of AiContent, filled in `to_row`, and a column in `sql/schema.sql`; nothing else
knows those that you add.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from lib.event import AiGenerated, Members
from lib.jsontext import Json, coalesce, dump, to_text

TABLE = "ai_content"
_TEXTS = (
    "choices.0.message.content",  # OpenAI's chat completion
    "choices.0.message.content.*.text",  # the same, in parts
    "output.*.content.*.text",  # OpenAI's response
    "content.*.text",  # Anthropic's message
    "candidates.0.content.parts.*.text",  # Gemini
    "message.content.*.text",  # Cohere
)
"""Where a provider's raw answer keeps its text; `*` stands for each part, and all are joined."""
_TEXT_PARTS = (None, "text", "output_text", "message")
"""The `type` of a part that is text, and not reasoning or a tool call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AiContent:
    """A row of `ai_content`. JSON columns take JSON text (`dump`), others plain values."""

    title: str
    body: str
    category: str
    metadata: str
    channel_id: str
    event_name: str | None
    ai_data: str
    callback_url: str


def to_row(event: AiGenerated) -> AiContent:
    """The row for an event, filled as ModelRiver's reference implementation for Neon does.

    https://modelriver.com/docs/event-driven-ai/serverless-databases/neon
    """
    result, customer = event.ai_result, event.customer_data
    if not isinstance(result, dict):
        result = {"body": result}
    if not isinstance(customer, dict):
        customer = {} if customer is None else {"customer_data": customer}
    body = coalesce(result.get("description"), result.get("body"), raw_text(result), "")
    return AiContent(
        title=to_text(coalesce(result.get("title"), "Untitled")),
        body=to_text(body),
        category=to_text(coalesce(customer.get("category"), "general")),
        metadata=dump(customer | _told_of_the_model(event.meta)),
        channel_id=event.channel_id,
        event_name=event.event,
        ai_data=dump([[event.ai_result]])[2:-2],  # as deep as a callback, and reading it back
        callback_url=event.callback_url,
    )


def raw_text(answer: dict[str, Json]) -> str | None:
    """The text of a provider's raw answer, or of the one in its `response`; None without any."""
    for holder in (answer, answer.get("response")):
        for path in _TEXTS:
            texts = [text for text in _at(holder, path.split(".")) if isinstance(text, str)]
            if texts:
                return "".join(texts)
    return None


def _at(value: Json, path: list[str]) -> Iterator[Json]:
    """The values at a path of _TEXTS."""
    match value, path:
        case _, []:
            yield value
        case [first, *_], ["0", *rest]:
            yield from _at(first, rest)
        case list(), ["*", *rest]:
            for part in filter(_is_text, value):
                yield from _at(part, rest)
        case dict(), [name, *rest]:
            yield from _at(value.get(name), rest)


def _is_text(part: Json) -> bool:
    # Gemini marks its thoughts by a member of their own.
    return isinstance(part, dict) and part.get("type") in _TEXT_PARTS and not part.get("thought")


def _told_of_the_model(meta: Members) -> dict[str, Json]:
    told = {
        "ai_model": coalesce(meta.get("model"), meta.get("used_model")),
        "ai_provider": coalesce(meta.get("provider"), meta.get("used_provider")),
        "test_mode": True if meta.get("test_mode") is True else None,
    }
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it stands in Postgres."""

    id: str
    saved_at: str  # ISO 8601 in UTC, with milliseconds
    callback_url: str
    called_back: bool
    callback_error: str | None
    is_new: bool
    stored_ai_data: Json  # of a row that was there before, what it holds; None for a new one
