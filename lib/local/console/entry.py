"""A delivery and all that is known of it, as plain values that a file can hold."""

import codecs
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lib.jsontext import Json
from lib.local.standins import wire
from lib.local.standins.modelriver import SCHEMES, Callback, Delivery, Reply, Scheme
from lib.local.standins.redelivery import Attempt, Task

SHOWN = 16_384
"""Bytes of a body that are shown."""
LINES = 50
"""Log lines of an invocation that are kept."""
TITLE = 120
"""Characters of an AI result's title that are kept."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of which perhaps only the beginning is kept."""

    text: str
    size: int
    """Bytes of the whole."""
    cut: bool = False

    @classmethod
    def of(cls, content: bytes) -> "Text":
        whole = len(content) <= SHOWN
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return cls(decoder.decode(content[:SHOWN], final=whole), len(content), not whole)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` is 0 where nothing did."""

    status: int
    headers: list[list[str]]
    body: Text
    ms: float
    reason: str
    """Why nothing did."""

    @classmethod
    def of(cls, reply: Reply) -> "Answer":
        headers = [[name, value] for name, value in reply.headers.items()]
        ms = round(reply.seconds * 1000, 2)
        return cls(reply.status, headers, Text.of(reply.content), ms, reply.reason)


@dataclass(slots=True)
class Exchange:
    """An attempt from both sides: the request, the answer, what the function logged."""

    invocation: str
    began_at: float
    """Unix seconds."""
    headers: list[list[str]]
    body: Text
    signature: dict[str, Json]
    at: float | None = None
    """Seconds after the AI result, by ModelRiver's clock."""
    answer: Answer | None = None
    """None while there is none."""
    trouble: str = ""
    """Why the function could not be asked."""
    lines: list[str] = field(default_factory=list)
    log: dict[str, Json] = field(default_factory=dict)
    """The function's own line about the delivery, once it is there."""

    def hear(self, line: str) -> None:
        """Keep a line that the function logged while it served this."""
        try:
            value: Json = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "outcome" in value:
            self.log = value
        self.lines = [*self.lines, line[:SHOWN]][-LINES:]


@dataclass(frozen=True, slots=True)
class Heard:
    """A callback that came to ModelRiver, of its content as much as is shown."""

    headers: list[list[str]]
    body: Text
    is_failure: bool
    problems: list[str]
    answered: int
    taken: bool
    received_at: float
    """Unix seconds."""
    in_window: bool
    record_id: str

    @classmethod
    def of(cls, callback: Callback, *, in_window: bool) -> "Heard":
        metadata = callback.content.get("metadata")
        record_id = metadata.get("record_id") if isinstance(metadata, dict) else ""
        return cls(
            # The key is the developer's own, but a screen is shared more easily than a file.
            headers=[
                [name, "Bearer ••••" if name == "authorization" else value]
                for name, value in callback.headers.items()
            ],
            body=Text.of(wire.write(dict(callback.content)).encode()),
            is_failure="error" in callback.content,
            problems=list(callback.problems),
            answered=callback.answered,
            taken=callback.taken,
            received_at=callback.received_at,
            in_window=in_window,
            record_id=str(record_id),
        )


@dataclass(slots=True, eq=False)
class Entry:
    """A delivery and all that belongs to it."""

    number: int
    task: Task
    event: str | None
    title: str
    """Of the AI result."""
    size: int
    """Bytes of its body."""
    born_at: float
    """Unix seconds."""
    batch: int = 0
    """The number of the first that was sent with it; 0 where it was sent alone."""
    form: dict[str, Json] = field(default_factory=dict)
    """What the form was filled with; empty for what came from elsewhere."""
    version: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    callbacks: list[Heard] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        """Whether it was sent from here."""
        return self.task.recorded is None

    @property
    def record_id(self) -> str:
        """Of its row, as far as a callback told it."""
        return next((each.record_id for each in self.callbacks if each.record_id), "")

    @property
    def body(self) -> bytes:
        """What is kept of it, whole: for ours but for the timestamp of an attempt."""
        if self.task.recorded:
            return self.task.recorded.body
        return wire.write(self.task.payload).encode()

    def story(self) -> dict[str, Any]:
        """All but the body, as JSON."""
        task = self.task
        return {
            "entry": {name: getattr(self, name) for name in _PLAIN},
            "exchanges": [asdict(each) for each in self.exchanges],
            "callbacks": [asdict(each) for each in self.callbacks],
            "task": {"scheme": task.scheme, "state": task.state, "url": task.url}
            | {"typed": task.typed, "forged": task.secret is not None},
            "recorded": dict(task.recorded.headers) if task.recorded else None,
        }

    @classmethod
    def of(cls, story: Mapping[str, Any], body: bytes, wrong_secret: str) -> "Entry":
        """An entry as it was kept. What was under way then has no answer."""
        told, headers, entry = story["task"], story["recorded"], story["entry"]
        task = Task(
            payload(body),
            scheme_of(told["scheme"]),
            time.monotonic() - (time.time() - entry["born_at"]),
            secret=wrong_secret if told["forged"] else None,
            url=told["url"],
            typed=told["typed"],
            recorded=None if headers is None else Delivery(headers, body),
            state=told["state"],
        )
        made = cls(
            task=task,
            **entry,
            exchanges=[_exchange(each) for each in story["exchanges"]],
            callbacks=[_heard(each) for each in story["callbacks"]],
        )
        for number, each in enumerate(made.exchanges if made.is_ours else [], 1):
            reply = (
                Reply(each.answer.status, {}, b"", each.answer.ms / 1000) if each.answer else None
            )
            if reply:
                task.attempts.append(Attempt(number, each.invocation, each.at or 0, reply, False))
        return made


_PLAIN = ("number", "event", "title", "size", "born_at", "batch", "form")


def _exchange(kept: Mapping[str, Any]) -> Exchange:
    answer = kept["answer"]
    if answer is None:
        gone = Answer(0, [], Text("", 0), 0.0, "make dev ended meanwhile")
    else:
        gone = Answer(**{**answer, "body": Text(**answer["body"])})
    return Exchange(**{**kept, "body": Text(**kept["body"]), "answer": gone})


def _heard(kept: Mapping[str, Any]) -> Heard:
    return Heard(**{**kept, "body": Text(**kept["body"])})


def scheme_of(name: str) -> Scheme:
    """Raises ValueError where there is no such scheme."""
    for scheme in SCHEMES:
        if scheme == name:
            return scheme
    raise ValueError(name)


def payload(body: bytes) -> dict[str, Json]:
    """A body's JSON object; empty where it is none."""
    try:
        value = wire.read(body.decode())
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def event_of(payload: Mapping[str, Json]) -> str | None:
    """The event that a payload names, wherever its envelope has it."""
    inner = payload.get("data")
    for envelope in (inner, payload):
        if isinstance(envelope, dict) and not envelope.keys().isdisjoint({"type", "ai_response"}):
            event = envelope.get("event") or payload.get("event")
            return event if isinstance(event, str) else None
    return None


def result_title(payload: Mapping[str, Json]) -> str:
    """What to call the AI result of a payload: its title, or else its first words."""
    for envelope in (payload.get("data"), payload):
        if isinstance(envelope, dict) and "ai_response" in envelope:
            response = envelope["ai_response"]
            return _title(response.get("data") if isinstance(response, dict) else response)
    return _title(payload.get("data"))


def _title(result: Json) -> str:
    found = result.get("title") if isinstance(result, dict) else None
    words = found if isinstance(found, str) else _words(result)
    return " ".join(words[: 4 * TITLE].split())[:TITLE]


def _words(value: Json, depth: int = 6) -> str:
    """The first text that is meant for a reader, wherever a provider keeps it."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, dict):
        # Any other member is a kind, a role or a name.
        known = ("choices", "message", "output", "content", "candidates", "parts", "text")
        inner: list[Json] = [
            value[name] for name in (*known, "description", "body") if name in value
        ]
    else:
        inner = list(value) if depth and isinstance(value, list) else []
    return next((found for each in inner if (found := _words(each, depth - 1))), "")
