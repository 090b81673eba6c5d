"""ModelRiver's redelivery, on a clock that can be sped up.

Eight attempts at published times, 30 s for each answer, a callback window of five minutes, and a
dead letter queue with a retry button (https://modelriver.com/docs/webhooks/delivery-and-retries).
"""

import heapq
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from lib.jsontext import Json
from lib.local.standins.modelriver import (
    DELIVERY_TIMEOUT,
    Callback,
    Delivery,
    ModelRiver,
    Scheme,
)
from lib.local.standins.tasks import Attempt, Endpoint, Receiver, Task
from lib.local.standins.vercel import INVOCATION_HEADER
from lib.local.until import until

__all__ = ["CALLBACK_WINDOW", "SCHEDULE", "Attempt", "Endpoint", "Receiver", "Redelivery", "Task"]

SCHEDULE = (0, 5, 35, 155, 755, 2555, 6155, 13355)
"""When each attempt is made, in seconds after the AI result."""
CALLBACK_WINDOW = 300
"""Seconds after the AI result in which the person waiting is shown a callback."""


class Redelivery:
    """ModelRiver's delivery queue, spreading attempts over the receivers in turn."""

    def __init__(
        self,
        modelriver: ModelRiver,
        receivers: Sequence[Receiver],
        *,
        speed: float = 1.0,
        workers: int = 32,
    ) -> None:
        """`speed` 100 makes a minute of ModelRiver's pass in 0.6 s.

        Answers get their 30 s in real time all the same, which is what the receiver goes by.
        """
        self._modelriver = modelriver
        self._receivers = itertools.cycle(receivers)
        self._speed = speed
        self._due: list[tuple[float, int, Task]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._under_way = 0
        self._closed = False
        self.on_attempt: Callable[[Task, str, Delivery], None] = lambda *_: None
        """Called with each attempt's invocation and request, before it is made."""
        self.on_change: Callable[[Task], None] = lambda _: None
        """Called when an attempt has ended, or another is due."""
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="delivery")
        self._scheduler = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        self._scheduler.join()
        self._threads.shutdown()

    def send(
        self,
        payload: dict[str, Json],
        scheme: Scheme = "documented",
        secret: str | None = None,
    ) -> Task:
        """Take an AI result that is there just now, and go on delivering it until it is taken."""
        task = Task(payload, scheme, time.monotonic(), secret)
        self.start(task)
        return task

    def start(self, task: Task) -> None:
        """Deliver it until it is taken, from the attempt on that comes next."""
        made = len(task.attempts)
        self._schedule(task, max(SCHEDULE[min(made, len(SCHEDULE) - 1)], self.age(task)))

    def retry(self, task: Task) -> None:
        """The button of the dead letter queue: one more attempt, now."""
        self.forget(task)
        task.state = "pending"
        self._schedule(task, self.age(task))

    def forget(self, task: Task) -> None:
        """Make no attempt that is still to come."""
        with self._changed:
            self._due = [each for each in self._due if each[2] is not task]
            heapq.heapify(self._due)
            task.due = None

    def delivery(self, task: Task, age: float | None = None) -> Delivery:
        """What an attempt sends at that age of the AI result, now by default."""
        if task.recorded:
            return task.recorded
        payload = task.payload
        if not task.typed:
            # The receiver's clock is the real one: by the birth that it is told, its ages are
            # ModelRiver's.
            born = time.time() - (self.age(task) if age is None else age)
            payload = {**payload, "timestamp": int(born) if "data" in payload else born}
        return self._modelriver.sign(payload, task.scheme, secret=task.secret)

    def age(self, task: Task, at: float | None = None) -> float:
        """Seconds since the AI result by ModelRiver's clock, `at` a time.monotonic()."""
        return ((time.monotonic() if at is None else at) - task.born) * self._speed

    def in_window(self, task: Task, callback: Callback) -> bool:
        """Whether the callback came while the person was still waiting."""
        at = time.monotonic() - (time.time() - callback.received_at)
        return self.age(task, at) <= CALLBACK_WINDOW

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is due or under way; False if that takes more real seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._due and not self._under_way, timeout=timeout
            )

    def hurry(self) -> None:
        """Make all attempts that are still to come now, as pressing retry for each would."""
        with self._changed:
            self._due = [(0.0, order, task) for _, order, task in self._due]
            self._changed.notify_all()

    def _schedule(self, task: Task, at: float) -> None:
        due = task.born + at / self._speed
        with self._changed:
            heapq.heappush(self._due, (due, next(self._order), task))
            task.due = due
            self._changed.notify_all()
        self.on_change(task)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, task = heapq.heappop(self._due)
                self._under_way += 1
                task.due = None
                task.under_way += 1
            self._threads.submit(self._attempt, task)

    def _receiver(self) -> Receiver:
        """The next one that is up, or after a while of none, one that is down."""

        def up() -> Receiver | None:
            receiver = next(self._receivers)
            return receiver if receiver.port else None

        return until(up, DELIVERY_TIMEOUT, every=0.001) or next(self._receivers)

    def _attempt(self, task: Task) -> None:
        age = self.age(task)
        receiver = self._receiver()
        deaths = receiver.deaths
        delivery = self.delivery(task, age)
        invocation = uuid.uuid4().hex
        self.on_attempt(task, invocation, delivery)
        # As Vercel's platform does; the function itself does not see it.
        headers = {**delivery.headers, INVOCATION_HEADER: invocation}
        through = delivery if task.url else Delivery(headers, delivery.body)
        reply = self._modelriver.deliver(task.url or receiver.url, through, DELIVERY_TIMEOUT)
        died = receiver.deaths != deaths
        with self._changed:
            task.under_way -= 1
            task.attempts.append(Attempt(len(task.attempts) + 1, invocation, age, reply, died))
        if 200 <= reply.status < 300:
            task.state = "delivered"
        elif task.recorded:
            task.state = "pending"
        elif len(task.attempts) < len(SCHEDULE):
            self._schedule(task, max(SCHEDULE[len(task.attempts)], age))
        else:
            task.state = "dead"
        self.on_change(task)
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()
