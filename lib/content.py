"""The row that is kept of an AI result. This is the file to edit to keep other columns.

Every field of AiContent is a column of the table `ai_content`. To keep one more, add the field
here, fill it in `to_row`, and add the column in `sql/schema.sql`; nothing else knows them.
"""

from dataclasses import dataclass

from lib.event import AiGenerated
from lib.jsontext import Json, coalesce, dump, to_text


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
    result: dict[str, Json] = (
        event.ai_result if isinstance(event.ai_result, dict) else {"body": event.ai_result}
    )
    customer = event.customer_data if isinstance(event.customer_data, dict) else {}
    body = coalesce(result.get("description"), result.get("body"), _chat_message(result), "")
    return AiContent(
        title=to_text(coalesce(result.get("title"), "Untitled")),
        body=to_text(body),
        category=to_text(coalesce(customer.get("category"), "general")),
        metadata=dump(_metadata(event)),
        channel_id=event.channel_id,
        event_name=event.event,
        ai_data=dump(event.ai_result),
        callback_url=event.callback_url,
    )


def _chat_message(result: dict[str, Json]) -> Json:
    """The message's content, as a workflow without a structured output returns it."""
    match result:
        case {"choices": [{"message": {"content": content}}, *_]}:
            return content
    return None


def _metadata(event: AiGenerated) -> dict[str, Json]:
    match event.customer_data:
        case None:
            metadata: dict[str, Json] = {}
        case dict() as members:
            metadata = dict(members)
        case other:
            metadata = {"customer_data": other}
    model = coalesce(event.meta.get("model"), event.meta.get("used_model"))
    for name, value in (("ai_model", model), ("ai_provider", event.meta.get("provider"))):
        if value is not None:
            metadata[name] = value
    return metadata
