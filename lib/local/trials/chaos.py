"""The fault bench: thousands of deliveries, while everything that can break is broken.

Several instances of the function, each a real runtime process, stand behind a stand-in ModelRiver
that redelivers; real Postgres stands behind real PgBouncer with few server connections, reached
through a proxy. From a seed that is printed, processes are killed, servers stopped, crashed and
frozen, sockets cut, and callbacks treated badly. In the end every delivery is compared with every
row and every callback.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.proxy import Proxy
from lib.local.standins.redelivery import CALLBACK_WINDOW, Redelivery, Task
from lib.local.standins.stack import Stack
from lib.local.trials.traffic import Traffic
from lib.local.trials.verdict import Outcome, Verdict, judge
from lib.local.until import until

INSTANCES = 3
SERVER_CONNECTIONS = 4
SPEED = 20.0
"""How fast ModelRiver's clock goes: its five minutes pass in 15 s.

The receiver's waits take their real time, so that many a callback comes late which at ModelRiver's
real pace would have come in time.
"""
SETTLE_WITHIN = 120
"""Seconds after which what is still not delivered, though retry is pressed, counts as broken."""


@dataclass(frozen=True, slots=True)
class _Fault:
    name: str
    begin: Callable[[], None]
    end: Callable[[], None]


class Chaos:
    """One run of the fault bench."""

    def __init__(self, seed: int, seconds: float, rate: float, speed: float = SPEED) -> None:
        """Deliver `rate` AI results a second for so many seconds, all chosen by `seed`."""
        self._seconds = seconds
        self._rate = rate
        self._speed = speed
        self._seed = seed
        self._faults = random.Random(f"faults {seed}")
        self._tasks: list[Task] = []
        self._kill = threading.Event()
        self.done: Counter[str] = Counter()
        """How often each fault was made."""

    def run(self) -> Verdict:
        """Start everything, break everything, and look. Call it from the main thread.

        Raises PartMissing or NotStarted.
        """
        with Stack(server_connections=SERVER_CONNECTIONS) as stack:
            self._stack = stack
            self._elsewhere = stack.enter_context(ModelRiver("other", "other"))
            self._traffic = Traffic(self._seed, stack.modelriver, self._elsewhere)
            self._proxy = stack.enter_context(Proxy(stack.pgbouncer.port))
            stack.modelriver.on_callback = self._on_callback
            url = f"postgresql://postgres:dbsecret@127.0.0.1:{self._proxy.port}/postgres"
            for _ in range(INSTANCES):
                stack.serve(DATABASE_URL=url)
            self._redelivery = stack.enter_context(
                Redelivery(stack.modelriver, stack.instances, speed=self._speed, workers=64)
            )
            sender = threading.Thread(target=self._send)
            sender.start()
            self._break_things()
            sender.join()
            self._settle()
            if stack.pgbouncer.crashes:
                self.done["PgBouncer crashed by itself"] = stack.pgbouncer.crashes
            return judge(self._outcome(), at_real_pace=self._speed == 1)

    def _send(self) -> None:
        """Deliver at an even pace; some twice, some at the same moment."""
        began = time.monotonic()
        for number in range(int(self._seconds * self._rate)):
            payload, scheme = self._traffic.event(number)
            for _ in range(self._traffic.times()):
                self._tasks.append(self._redelivery.send(payload, scheme))
            time.sleep(max(0.0, began + number / self._rate - time.monotonic()))

    def _on_callback(self, channel_id: str) -> None:
        if channel_id in self._traffic.kill_upon:
            self._traffic.kill_upon.discard(channel_id)
            self._kill.set()
            time.sleep(0.05)  # for the main thread to do it before this callback is answered

    def _break_things(self) -> None:
        """One fault after another, with a little quiet between, while deliveries come."""
        end_at = time.monotonic() + self._seconds
        while time.monotonic() < end_at:
            quiet_until = time.monotonic() + self._faults.uniform(0.2, 1.5)
            while time.monotonic() < quiet_until:
                if self._kill.wait(0.05):
                    self._kill.clear()
                    self._kill_one()
            fault = self._faults.choice(self._choices())
            fault.begin()
            time.sleep(self._faults.choice([0.1, 0.5, 1.0, 2.0, 6.0]))
            fault.end()
            self.done[fault.name] += 1

    def _choices(self) -> list[_Fault]:
        victim = self._faults.choice(self._stack.instances)
        postgres, pgbouncer, proxy = self._stack.postgres, self._stack.pgbouncer, self._proxy
        return [
            *[_Fault("function killed", victim.kill, victim.start)] * 2,
            _Fault("Postgres restarted", postgres.stop, postgres.start),
            _Fault("Postgres crashed", postgres.crash, postgres.start),
            _Fault("Postgres frozen", postgres.freeze, postgres.thaw),
            _Fault("PgBouncer restarted", pgbouncer.stop, pgbouncer.start),
            _Fault("PgBouncer frozen", pgbouncer.freeze, pgbouncer.thaw),
            _Fault("packets swallowed", proxy.swallow, proxy.flow),
            _Fault("sockets cut", proxy.cut, proxy.cut),
        ]

    def _kill_one(self) -> None:
        victim = self._faults.choice(self._stack.instances)
        victim.kill()
        victim.start()
        self.done["killed during a callback"] += 1

    def _settle(self) -> None:
        """All is well again: let redelivery take its course, and press retry until all is there."""
        own_course_ends_at = time.monotonic() + CALLBACK_WINDOW / self._speed

        def settled() -> bool:
            for task in self._tasks:
                if task.state == "dead":
                    self._redelivery.retry(task)
            if time.monotonic() > own_course_ends_at:
                self._redelivery.hurry()
            return self._redelivery.settle(1.0) and all(
                task.state == "delivered" for task in self._tasks
            )

        until(settled, CALLBACK_WINDOW / self._speed + SETTLE_WITHIN)

    def _outcome(self) -> Outcome:
        stored: defaultdict[str, list[str]] = defaultdict(list)
        query = "SELECT channel_id, id::text FROM ai_content"
        for row in self._stack.connection.execute(query):
            stored[row["channel_id"]].append(row["id"])
        return Outcome(
            tasks=self._tasks,
            redelivery=self._redelivery,
            stored=stored,
            callbacks=list(self._stack.modelriver.callbacks),
            elsewhere=self._elsewhere.connections,
            log=[line for instance in self._stack.instances for line in instance.log],
            refused=self._traffic.refused,
            hostile=self._traffic.hostile,
        )
