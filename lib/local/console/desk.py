"""What lies on the desk: the latest deliveries, each with all that is known of it.

An attempt, the function's log lines and the callbacks come from three sides, at any time and in
any order. They are joined by the invocation that each request carries, as on Vercel's platform, and
by ModelRiver's channel.
"""

import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from lib.jsontext import Json
from lib.local.console import verdict
from lib.local.console.entry import (
    Answer,
    Entry,
    Exchange,
    Heard,
    Text,
    event_of,
    payload,
    result_title,
)
from lib.local.console.signature import explain
from lib.local.standins.modelriver import Delivery, ModelRiver, Reply, Scheme
from lib.local.standins.redelivery import CALLBACK_WINDOW, SCHEDULE, Redelivery, Task
from lib.local.standins.vercel import Message, log_line

KEPT = 500
"""Deliveries that are kept."""
KEPT_BYTES = 64_000_000
"""Bytes of their bodies together; where these are large, fewer deliveries are kept."""
WRONG_SECRET = "whsec-of-somebody-else"


@dataclass(frozen=True, slots=True)
class Order:
    """A delivery to be made."""

    payload: dict[str, Json]
    scheme: Scheme = "documented"
    url: str = ""
    """Where to, if not to the function."""
    typed: bool = False
    """Whether the payload is to be sent as it is."""
    forged: bool = False
    """Whether to sign it with a wrong secret."""
    form: dict[str, Json] = field(default_factory=dict)
    """What the form was filled with."""


class Desk:
    """Watches a stand-in ModelRiver and its redelivery, and keeps what they do. Thread-safe."""

    def __init__(
        self,
        modelriver: ModelRiver,
        redelivery: Redelivery,
        speed: float = 1.0,
        secrets: Collection[str] = (),
    ) -> None:
        """`speed` is that of the redelivery's clock; `secrets` are the function's, if not one."""
        self._modelriver = modelriver
        self._redelivery = redelivery
        self._speed = speed
        self._secrets = tuple(secrets) or (modelriver.secret,)
        self._entries: dict[int, Entry] = {}
        self._by_task: dict[Task, Entry] = {}
        self._by_channel: defaultdict[str, list[Entry]] = defaultdict(list)
        self._by_invocation: dict[str, tuple[Entry, Exchange]] = {}
        self._unclaimed: deque[tuple[str, Heard]] = deque(maxlen=100)
        """Callbacks of channels that nothing else is known of yet."""
        self._bytes = 0
        self._number = 0
        self._version = 0
        self._cleared_at = 0
        """The version at which all was put away."""
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

    def send(self, orders: list[Order]) -> list[int]:
        """Deliver, and keep them here. Returns their numbers.

        Raises ValueError or RecursionError where one cannot be written as JSON; then none is sent.
        """
        sizes = [len(self._modelriver.sign(each.payload, each.scheme).body) for each in orders]
        with self._changed:  # so that the first attempt finds its entry
            batch = self._number + 1 if len(orders) > 1 else 0
            return [self._send(*each, batch) for each in zip(orders, sizes, strict=True)]

    def _send(self, order: Order, size: int, batch: int) -> int:
        task = Task(
            order.payload,
            order.scheme,
            time.monotonic(),
            secret=WRONG_SECRET if order.forged else None,
            url=order.url,
            typed=order.typed,
        )
        entry = Entry(
            number=self._number + 1,
            task=task,
            event=event_of(order.payload),
            title=result_title(order.payload),
            size=size,
            born_at=time.time(),
            batch=batch,
            form=order.form,
        )
        self._keep(entry)
        self._redelivery.start(task)
        return entry.number

    def redeliver(self, number: int) -> bool:
        """Make one more attempt now; False where it is not kept any more."""
        with self._changed:
            entry = self._entries.get(number)
        if entry is None:
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

    def clear(self) -> None:
        """Put everything away but what is under way just now."""
        with self._changed:
            for entry in list(self._entries.values()):
                if verdict.queue(entry) != "sending":
                    self._drop(entry)
            self._advance()
            self._cleared_at = self._version

    def arrive(self, headers: Mapping[str, str], body: bytes) -> str:
        """Keep a delivery that somebody else sends. Returns the invocation to serve it under.

        The same channel and event again is another attempt.
        """
        delivery = Delivery(dict(headers), body)
        content = payload(body)
        born_at = _born_at(content)
        task = Task(content, "documented", time.monotonic() - (time.time() - born_at))
        task.recorded = delivery
        event = event_of(content)
        with self._changed:
            same = [
                each
                for each in self._by_channel.get(task.channel_id, [])
                if task.channel_id and not each.is_ours and each.event == event
            ]
            if not same:
                title = result_title(content)
                self._keep(Entry(self._number + 1, task, event, title, len(body), born_at))
            else:
                task = same[0].task
                task.recorded = delivery  # the latest, whose signature is the freshest
            invocation = uuid.uuid4().hex
            self._begin_attempt(task, invocation, delivery)
            return invocation

    def answer(self, invocation: str, reply: Reply) -> None:
        """Keep what an attempt of somebody else's came to."""
        with self._changed:
            if found := self._by_invocation.get(invocation):
                entry, exchange = found
                exchange.answer = Answer.of(reply)
                self._change(entry.task)

    def blame(self, invocation: str, reason: str) -> None:
        """Keep why the function could not be asked."""
        with self._changed:
            if found := self._by_invocation.get(invocation):
                entry, exchange = found
                exchange.trouble = reason
                self._change(entry.task)

    def knows(self, invocation: str) -> bool:
        """Whether an attempt of this name is being made."""
        with self._changed:
            return invocation in self._by_invocation

    @property
    def trouble(self) -> str:
        """Why the function does not run; empty where it does."""
        with self._changed:
            return str(self._state.get("reason", ""))

    def take(self, message: Message) -> None:
        """Keep what the function logged while it served an attempt."""
        if found := log_line(message):
            invocation, line = found
            with self._changed:
                if pair := self._by_invocation.get(invocation):
                    entry, exchange = pair
                    exchange.hear(line)
                    self._change(entry.task)

    def updates(self, since: int, timeout: float) -> tuple[int, dict[str, Json]]:
        """What has changed since that version, with the version that it leads to.

        Waits up to `timeout` seconds for something to change.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._version > since, timeout)
            fresh = [each for each in self._entries.values() if each.version > since]
            return self._version, {
                "all": since < max(1, self._cleared_at),
                "oldest": next(iter(self._entries), self._number + 1),
                "deliveries": [self._summary(each) for each in fresh],
                "state": dict(self._state),
            }

    def changes(self, since: int, timeout: float) -> tuple[int, list[Entry], set[int]]:
        """As `updates`: the entries that have changed, and the numbers of all that are kept."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > since, timeout)
            fresh = [each for each in self._entries.values() if each.version > since]
            return self._version, fresh, set(self._entries)

    def restore(self, entries: list[Entry]) -> None:
        """Take up again what an earlier run kept, oldest first: what waits is delivered."""
        with self._changed:
            for entry in entries:
                self._keep(entry)
            for task in [each.task for each in entries if each.is_ours]:
                if task.state == "pending":
                    self._redelivery.start(task)

    def detail(self, number: int) -> dict[str, Json] | None:
        """All about one delivery but its row; None where it is not kept any more."""
        with self._changed:
            entry = self._entries.get(number)
            if entry is None:
                return None
            return {
                **self._summary(entry),
                "scheme": entry.task.scheme,
                "exchanges": [
                    {**asdict(each), "steps": list(verdict.steps(each)), "diagnosis": line}
                    for each, line in zip(entry.exchanges, verdict.diagnoses(entry), strict=True)
                ],
                "callbacks": [asdict(each) for each in entry.callbacks],
            }

    def entry(self, number: int) -> Entry | None:
        """None where it is not kept any more."""
        with self._changed:
            return self._entries.get(number)

    def signed(self, entry: Entry) -> Delivery:
        """The delivery as an attempt that is made now sends it."""
        return self._redelivery.delivery(entry.task)

    def _begin_attempt(self, task: Task, invocation: str, delivery: Delivery) -> None:
        with self._changed:
            if entry := self._by_task.get(task):
                exchange = Exchange(
                    invocation,
                    time.time(),
                    [[name, value] for name, value in delivery.headers.items()],
                    Text.of(delivery.body),
                    explain(delivery.headers, delivery.body, self._secrets),
                )
                entry.exchanges.append(exchange)
                self._by_invocation[invocation] = entry, exchange
                self._change(task)

    def _change(self, task: Task) -> None:
        with self._changed:
            if entry := self._by_task.get(task):
                attempts = {each.invocation: each for each in task.attempts}
                for exchange in entry.exchanges:
                    if exchange.answer is None and (found := attempts.get(exchange.invocation)):
                        exchange.answer, exchange.at = Answer.of(found.reply), round(found.at, 1)
                self._advance()
                entry.version = self._version
                self._drop_what_is_too_much()

    def _keep(self, entry: Entry) -> None:
        channel = entry.task.channel_id
        self._number = max(self._number, entry.number)
        if not entry.callbacks:
            # They were there before it: of an earlier delivery of the channel, or of nobody's yet.
            siblings = self._by_channel.get(channel, [])
            known = siblings[0].callbacks if siblings else []
            found = [heard for of, heard in self._unclaimed if channel and of == channel]
            entry.callbacks = [*known, *found]
        self._entries[entry.number] = entry
        self._by_task[entry.task] = entry
        self._by_channel[channel].append(entry)
        self._bytes += entry.size
        self._change(entry.task)

    def _drop_what_is_too_much(self) -> None:
        """The oldest first, but none that is under way."""
        while len(self._entries) > KEPT or (self._bytes > KEPT_BYTES and len(self._entries) > 1):
            oldest = next(iter(self._entries.values()))
            if verdict.queue(oldest) == "sending":
                return
            self._drop(oldest)
            self._advance()

    def _take_callbacks(self, _: str) -> None:
        """Take what the stand-in has filed: there, it would grow for as long as we run."""
        with self._changed:
            while self._modelriver.callbacks:
                callback = self._modelriver.callbacks.pop(0)
                entries = self._by_channel.get(callback.channel_id, [])
                in_window = all(
                    self._redelivery.in_window(entry.task, callback) for entry in entries
                )
                heard = Heard.of(callback, in_window=in_window)
                for entry in entries:
                    entry.callbacks = [*entry.callbacks, heard]
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

    def _summary(self, entry: Entry) -> dict[str, Json]:
        task = entry.task
        last = entry.exchanges[-1].answer if entry.exchanges else None
        due = None if task.due is None else time.time() + task.due - time.monotonic()
        ends = entry.born_at + CALLBACK_WINDOW / self._speed
        return {
            "number": entry.number,
            "batch": entry.batch,
            "event": entry.event,
            "title": entry.title,
            "channel": task.channel_id,
            "record": entry.record_id,
            "is_ours": entry.is_ours,
            "size": entry.size,
            "queue": verdict.queue(entry),
            "person": verdict.person(entry, ends, due),
            "attempts": len(entry.exchanges),
            "attempts_at_most": len(SCHEDULE),
            "status": last.status if last else None,
            "ms": last.ms if last else None,
            "born_at": entry.born_at,
            "due_at": due,
            "window_ends_at": ends,
        }


def _born_at(content: Mapping[str, Json]) -> float:
    """When the AI result was there, in Unix seconds: now, where it does not say so."""
    told, now = content.get("timestamp"), time.time()
    if isinstance(told, str):
        try:
            told = datetime.fromisoformat(told).timestamp()
        except ValueError:
            return now
    if not isinstance(told, (int, float)):
        return now
    seconds = told / 1000 if told > 100_000_000_000 else told
    return seconds if now - 86400 < seconds < now else now
