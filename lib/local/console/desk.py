"""What lies on the desk: the latest deliveries, each with all that is known of it.

An attempt, the function's log lines and the callbacks come from three sides, at any time and in
any order. They are joined by the invocation that each request carries, as on Vercel's platform, and
by ModelRiver's channel.
"""

import codecs
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from lib.jsontext import Json, find_member
from lib.local.standins import wire
from lib.local.standins.modelriver import Delivery, ModelRiver, Scheme
from lib.local.standins.redelivery import CALLBACK_WINDOW, SCHEDULE, Attempt, Redelivery, Task
from lib.local.standins.vercel import Message, log_line

KEPT = 500
"""Deliveries that are kept."""
KEPT_BYTES = 64_000_000
"""Bytes of their bodies together; where these are large, fewer deliveries are kept."""
SHOWN = 16_384
"""Bytes of a body that are shown."""
LINES = 50
"""Log lines of an invocation that are kept."""

_STEPS = {"verify": "verify", "read": "read", "save": "insert", "callback": "callback"}
"""What the function's log calls each step before its answer, and what the timeline calls it."""
_ANSWERED_200 = {"called_back", "known", "ignored", "record_refused", "callback_refused"}
_NO_INVOCATION = "0"
"""The runtime's name for a request that came without one."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of which perhaps only the beginning is kept."""

    shown: str
    size: int
    """Bytes of the whole."""

    @classmethod
    def of(cls, content: bytes) -> "Text":
        whole = len(content) <= SHOWN
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return cls(decoder.decode(content[:SHOWN], final=whole), len(content))

    @property
    def json(self) -> dict[str, Json]:
        cut = self.size - len(self.shown.encode("utf-8", "surrogatepass")) > 0
        return {"text": self.shown, "size": self.size, "cut": cut}


@dataclass(slots=True)
class Exchange:
    """An attempt from both sides: the request, the answer, what the function logged."""

    invocation: str
    began_at: float
    """Unix seconds."""
    headers: dict[str, str]
    body: Text
    signature: dict[str, Json]
    attempt: Attempt | None = None
    """None while there is no answer."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    log: dict[str, Json] = field(default_factory=dict)
    """The function's own line about the delivery, once it is there."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A callback that ModelRiver took, of its content as much as is shown."""

    headers: dict[str, str]
    body: Text
    is_failure: bool
    problems: tuple[str, ...]
    answered: int
    received_at: float
    """Unix seconds."""
    in_window: bool


@dataclass(slots=True, eq=False)
class Entry:
    """A delivery and all that belongs to it."""

    number: int
    task: Task
    event: str | None
    size: int
    """Bytes of its body."""
    born_at: float
    """Unix seconds."""
    is_ours: bool = True
    """Whether it was sent from here; of any other, only what the function logged is known."""
    version: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    callbacks: list[Heard] = field(default_factory=list)


class Desk:
    """Watches a stand-in ModelRiver and its redelivery, and keeps what they do. Thread-safe."""

    def __init__(self, modelriver: ModelRiver, redelivery: Redelivery, speed: float = 1.0) -> None:
        """`speed` is that of the redelivery's clock."""
        self._modelriver = modelriver
        self._redelivery = redelivery
        self._speed = speed
        self._entries: dict[int, Entry] = {}
        self._by_task: dict[Task, Entry] = {}
        self._by_channel: defaultdict[str, list[Entry]] = defaultdict(list)
        self._by_invocation: dict[str, tuple[Entry, Exchange]] = {}
        self._unclaimed: deque[tuple[str, Heard]] = deque(maxlen=100)
        """Callbacks of channels that nothing else is known of yet."""
        self._bytes = 0
        self._number = 0
        self._version = 0
        self._state: dict[str, Json] = {}
        self._changed = threading.Condition(threading.RLock())
        redelivery.on_attempt = self._begin_attempt
        redelivery.on_change = self._change
        modelriver.on_callback = self._take_callbacks

    def tell(self, **state: Json) -> None:
        """Show these members of the state of the whole, beside those told before."""
        with self._changed:
            self._state |= state
            self._advance()

    def send(
        self, payload: dict[str, Json], scheme: Scheme, secret: str | None, event: str | None
    ) -> int:
        """Deliver an AI result and keep it here. Returns its number.

        Raises ValueError or RecursionError where it cannot be written as JSON.
        """
        size = len(self._modelriver.sign(payload, scheme).body)
        with self._changed:  # so that the first attempt finds the entry
            task = self._redelivery.send(payload, scheme, secret)
            return self._keep(Entry(self._number + 1, task, event, size, time.time()))

    def redeliver(self, number: int) -> bool:
        """Make one more attempt now; False where it is not ours, or not kept any more."""
        with self._changed:
            entry = self._entries.get(number)
        if entry is None or not entry.is_ours:
            return False
        self._redelivery.retry(entry.task)
        return True

    def replay(self) -> int:
        """One more attempt for each delivery in the dead letter queue. Returns how many."""
        with self._changed:
            dead = [each.task for each in self._entries.values() if each.task.state == "dead"]
        for task in dead:
            self._redelivery.retry(task)
        return len(dead)

    def take(self, message: Message) -> None:
        """Keep what the function logged while it served an attempt."""
        if found := log_line(message):
            self._take_line(*found)

    def updates(self, since: int, timeout: float) -> tuple[int, dict[str, Json]]:
        """What has changed since that version, with the version that it leads to.

        Waits up to `timeout` seconds for something to change.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version > since, timeout)
            fresh = [each for each in self._entries.values() if each.version > since]
            return self._version, {
                "oldest": next(iter(self._entries), self._number + 1),
                "deliveries": [self._summary(each) for each in fresh],
                "state": dict(self._state),
            }

    def detail(self, number: int) -> dict[str, Json] | None:
        """All about one delivery but its row; None where it is not kept any more."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                return None
            return {
                **self._summary(entry),
                "scheme": entry.task.scheme,
                "size": entry.size,
                "exchanges": [_exchange(each) for each in entry.exchanges],
                "callbacks": [_callback(each) for each in entry.callbacks],
            }

    def key(self, number: int) -> tuple[str, str | None] | None:
        """Channel and event by which the delivery's row is found; None where it is not kept."""
        with self._changed:
            entry = self._entries.get(number)
            return (entry.task.channel_id, entry.event) if entry else None

    def _begin_attempt(self, task: Task, invocation: str, delivery: Delivery) -> None:
        with self._changed:
            if entry := self._by_task.get(task):
                body = Text.of(delivery.body)
                signature = _explain(task, delivery, body)
                headers = dict(delivery.headers)
                exchange = Exchange(invocation, time.time(), headers, body, signature)
                entry.exchanges.append(exchange)
                self._by_invocation[invocation] = entry, exchange
                self._change(task)

    def _change(self, task: Task) -> None:
        with self._changed:
            if entry := self._by_task.get(task):
                attempts = {each.invocation: each for each in task.attempts}
                for exchange in entry.exchanges:
                    exchange.attempt = attempts.get(exchange.invocation)
                self._advance()
                entry.version = self._version
                self._drop_what_is_too_much()

    def _keep(self, entry: Entry) -> int:
        self._number = entry.number
        self._entries[entry.number] = entry
        self._by_task[entry.task] = entry
        self._by_channel[entry.task.channel_id].append(entry)
        self._bytes += entry.size
        self._change(entry.task)
        return entry.number

    def _drop_what_is_too_much(self) -> None:
        """The oldest first, but none that was not attempted yet."""
        while len(self._entries) > KEPT or (self._bytes > KEPT_BYTES and len(self._entries) > 1):
            oldest = next(iter(self._entries.values()))
            if oldest.is_ours and not oldest.task.attempts:
                return
            self._drop(oldest)

    def _take_line(self, invocation: str, line: str) -> None:
        with self._changed:
            try:
                value: Json = json.loads(line)
            except ValueError:
                value = None
            log = value if isinstance(value, dict) and "outcome" in value else {}
            if invocation == _NO_INVOCATION and log:
                self._keep_from_elsewhere(line, log)
            elif invocation in self._by_invocation:
                entry, exchange = self._by_invocation[invocation]
                exchange.lines.append(line[:SHOWN])
                exchange.log = log or exchange.log
                self._change(entry.task)

    def _keep_from_elsewhere(self, line: str, log: dict[str, Json]) -> None:
        age, event = log.get("age"), log.get("event")
        seconds = age if isinstance(age, float) else 0.0
        channel = str(log.get("channel", ""))
        task = Task({"channel_id": channel}, "documented", time.monotonic() - seconds)
        exchange = Exchange("", time.time(), {}, Text("", 0), {}, log=log)
        exchange.lines.append(line[:SHOWN])
        entry = Entry(
            number=self._number + 1,
            task=task,
            event=event if isinstance(event, str) else None,
            size=0,
            born_at=time.time() - seconds,
            is_ours=False,
            exchanges=[exchange],
            callbacks=[heard for of, heard in self._unclaimed if channel and of == channel],
        )
        self._keep(entry)

    def _take_callbacks(self, _: str) -> None:
        """Take what the stand-in has filed: there, it would grow for as long as we run."""
        with self._changed:
            while self._modelriver.callbacks:
                callback = self._modelriver.callbacks.pop(0)
                entries = self._by_channel.get(callback.channel_id, [])
                heard = Heard(
                    headers=dict(callback.headers),
                    body=Text.of(wire.write(dict(callback.content)).encode()),
                    is_failure="error" in callback.content,
                    problems=callback.problems,
                    answered=callback.answered,
                    received_at=callback.received_at,
                    in_window=all(
                        self._redelivery.in_window(entry.task, callback) for entry in entries
                    ),
                )
                for entry in entries:
                    entry.callbacks.append(heard)
                    self._change(entry.task)
                if not entries:
                    self._unclaimed.append((callback.channel_id, heard))

    def _advance(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _drop(self, entry: Entry) -> None:
        self._redelivery.forget(entry.task)
        del self._entries[entry.number], self._by_task[entry.task]
        self._by_channel[entry.task.channel_id].remove(entry)
        if not self._by_channel[entry.task.channel_id]:
            del self._by_channel[entry.task.channel_id]
        for exchange in entry.exchanges:
            self._by_invocation.pop(exchange.invocation, None)
        self._bytes -= entry.size
        self._advance()

    def _summary(self, entry: Entry) -> dict[str, Json]:
        task = entry.task
        reply = task.attempts[-1].reply if task.attempts else None
        ms = reply.seconds * 1000 if reply else None
        if not entry.is_ours:
            ms = sum(
                duration for name, duration in _durations(entry.exchanges[0]) if name in _STEPS
            )
        due = None if task.due is None else time.time() + task.due - time.monotonic()
        return {
            "number": entry.number,
            "event": entry.event,
            "channel": task.channel_id,
            "is_ours": entry.is_ours,
            "state": _state(entry),
            "attempts": len(entry.exchanges),
            "attempts_at_most": len(SCHEDULE),
            "status": reply.status if reply else None,
            "ms": None if ms is None else round(ms, 2),
            "born_at": entry.born_at,
            "due_at": due,
            "callback": _callback_state(entry),
            "window_ends_at": entry.born_at + CALLBACK_WINDOW / self._speed,
        }


def _state(entry: Entry) -> str:
    task = entry.task
    if not entry.is_ours:
        settled = entry.exchanges[0].log["outcome"] in _ANSWERED_200
        return "delivered" if settled else "not taken"
    if task.under_way or (task.due is not None and not task.attempts):
        return "sending"
    return "waiting" if task.state == "pending" else task.state


def _callback_state(entry: Entry) -> str:
    """How the person who waits fares: in time, late, told of a failure, or none yet."""
    # A callback whose answer was lost on the way back was taken all the same.
    taken = [each for each in entry.callbacks if each.answered in {0, *range(200, 300)}]
    successes = [each for each in taken if not each.is_failure]
    if any(each.in_window for each in successes):
        return "in time"
    if any(each.in_window for each in taken):
        return "failure told"
    return "late" if successes else "none"


def _exchange(exchange: Exchange) -> dict[str, Json]:
    attempt = exchange.attempt
    reply = attempt.reply if attempt else None
    answer: dict[str, Json] | None = None
    if reply:
        answer = {
            "status": reply.status,
            "headers": [[name, value] for name, value in reply.headers.items()],
            "body": Text.of(reply.content).json,
            "ms": round(reply.seconds * 1000, 2),
        }
    return {
        "began_at": exchange.began_at,
        "at": round(attempt.at, 1) if attempt else None,
        "headers": [[name, value] for name, value in exchange.headers.items()],
        "body": exchange.body.json,
        "signature": exchange.signature,
        "answer": answer,
        "lines": list(exchange.lines),
        "log": exchange.log,
        "steps": list(steps(exchange)),
    }


def steps(exchange: Exchange) -> Iterator[dict[str, Json]]:
    """The attempt and what it consists of: name, start and duration, both in milliseconds.

    The function's log tells how long each step took, not when it began. They follow upon one
    another and end with the answer, so what is left in front is HTTP and reading the body.
    """
    durations = dict(_durations(exchange))
    inside = sum(durations.get(name, 0.0) for name in _STEPS)
    whole = inside
    if exchange.attempt:
        whole = round(exchange.attempt.reply.seconds * 1000, 2)
        yield {"name": "attempt", "start": 0.0, "ms": whole}
    start = max(0.0, whole - inside)
    for name, shown in _STEPS.items():
        if name in durations:
            yield {"name": shown, "start": round(start, 2), "ms": durations[name]}
            start += durations[name]
    if "note" in durations:
        yield {"name": "note", "start": round(whole, 2), "ms": durations["note"]}


def _durations(exchange: Exchange) -> Iterator[tuple[str, float]]:
    """The milliseconds of each step, as the function's log has them."""
    taken = exchange.log.get("ms")
    if isinstance(taken, dict):
        for name, ms in taken.items():
            if isinstance(ms, (int, float)):
                yield name, float(ms)


def _callback(heard: Heard) -> dict[str, Json]:
    return {
        "headers": [
            # The key is the developer's own, but a screen is shared more easily than a file.
            [name, "Bearer ••••" if name == "authorization" else value]
            for name, value in heard.headers.items()
        ],
        "body": heard.body.json,
        "problems": list(heard.problems),
        "answered": heard.answered,
        "received_at": heard.received_at,
        "in_window": heard.in_window,
    }


def _explain(task: Task, delivery: Delivery, body: Text) -> dict[str, Json]:
    """Which header signs what: the signed text as UTF-16 positions in what is shown of the body."""
    whole: dict[str, Json] = {"start": 0, "end": _utf16(body.shown), "bytes": body.size}
    right = task.secret is None
    if task.scheme == "documented":
        return {"header": "mr-signature", "prefix": "", "over": "body", "right": right, **whole}
    prefix = f"{delivery.headers['X-ModelRiver-Timestamp']}."
    told: dict[str, Json] = {
        "header": "X-ModelRiver-Signature",
        "prefix": prefix,
        "right": right,
        "over": "body",
        **whole,
    }
    if task.scheme == "timestamped":
        span = find_member(delivery.body, "data") or slice(0, 0)
        start, end = delivery.body[: span.start].decode(), delivery.body[: span.stop].decode()
        told |= {
            "over": "data",
            "start": min(_utf16(start), _utf16(body.shown)),
            "end": min(_utf16(end), _utf16(body.shown)),
            "bytes": len(delivery.body[span]),
        }
    return told


def _utf16(text: str) -> int:
    """How long a browser says that the text is."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
