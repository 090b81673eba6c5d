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
from contextlib import ExitStack
from dataclasses import dataclass, field

import psycopg

from lib.jsontext import Json
from lib.local.standins.modelriver import Callback, ModelRiver, Scheme, Treatment
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.proxy import Proxy
from lib.local.standins.redelivery import CALLBACK_WINDOW, Redelivery, Task
from lib.local.standins.vercel import Vercel

INSTANCES = 3
SERVER_CONNECTIONS = 4
SPEED = 20.0
"""How fast ModelRiver's clock goes: its five minutes pass in 15 s.

The receiver's waits take their real time, so that many a callback comes late which at ModelRiver's
real pace would have come in time.
"""
SETTLE_WITHIN = 120
"""Seconds after which what is still not delivered, though retry is pressed, counts as broken."""
SECRETS = ("whsec-chaos", "mr-key-chaos", "SENTINEL", "psycopg.", "server closed", "FATAL")
"""What no log line may hold: secrets, AI content, what a database says."""

BAD_TREATMENTS = (
    Treatment(status=500),
    Treatment(status=503, headers={"Retry-After": "1"}),
    Treatment(status=429, headers={"Retry-After": "60"}),
    Treatment(status=401),
    Treatment(status=408),
    Treatment(reset="before"),
    Treatment(reset="after"),
    Treatment(delay=1.0),
    Treatment(delay=8.0),
    Treatment(close_quietly=True),
)
FINAL_TREATMENTS = (
    Treatment(status=404),
    Treatment(status=302, headers={"Location": "http://127.0.0.1:1/"}),
)


@dataclass(slots=True)
class Verdict:
    """What came of it all. Whatever is in `faults` should not have happened."""

    figures: dict[str, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)


class Chaos:
    """One run of the fault bench."""

    def __init__(self, seed: int, seconds: float, rate: float, speed: float = SPEED) -> None:
        """Deliver `rate` AI results a second for so many seconds, all chosen by `seed`."""
        self._seconds = seconds
        self._rate = rate
        self._speed = speed
        self._traffic = random.Random(f"traffic {seed}")
        self._mischief = random.Random(f"mischief {seed}")
        self._parts = ExitStack()
        self._tasks: list[Task] = []
        self._refused: set[str] = set()
        """Channels whose callback ModelRiver refuses for good."""
        self._hostile: set[str] = set()
        """Channels whose callback_url points elsewhere."""
        self._deadly: set[str] = set()
        """Channels upon whose callback an instance is killed."""
        self._doomed = threading.Event()
        self.done: Counter[str] = Counter()
        """The mischief that was done."""

    def run(self) -> Verdict:
        """Start everything, break everything, and look. Call it from the main thread."""
        with self._parts as parts:
            self._postgres = parts.enter_context(Postgres())
            self._postgres.apply_schema()
            self._pgbouncer = parts.enter_context(PgBouncer(self._postgres, SERVER_CONNECTIONS))
            self._proxy = parts.enter_context(Proxy(self._pgbouncer.port))
            self._modelriver = parts.enter_context(ModelRiver("whsec-chaos", "mr-key-chaos"))
            self._elsewhere = parts.enter_context(ModelRiver("other", "other"))
            self._modelriver.on_callback = self._on_callback
            url = f"postgresql://postgres:dbsecret@127.0.0.1:{self._proxy.port}/postgres"
            settings = {**self._modelriver.settings, "DATABASE_URL": url}
            self._instances = [parts.enter_context(Vercel(settings)) for _ in range(INSTANCES)]
            self._redelivery = parts.enter_context(
                Redelivery(self._modelriver, self._instances, speed=self._speed, workers=64)
            )
            sender = threading.Thread(target=self._send)
            sender.start()
            self._break_things()
            sender.join()
            settled = self._settle()
            if self._pgbouncer.crashes:
                self.done["PgBouncer crashed by itself"] = self._pgbouncer.crashes
            return self._compare(settled)

    def _send(self) -> None:
        """Deliver at an even pace; some twice, some at the same moment."""
        began = time.monotonic()
        for number in range(int(self._seconds * self._rate)):
            payload, scheme = self._event(number)
            for _ in range(2 if self._traffic.random() < 0.05 else 1):
                self._tasks.append(self._redelivery.send(payload, scheme))
            time.sleep(max(0.0, began + number / self._rate - time.monotonic()))

    def _event(self, number: int) -> tuple[dict[str, Json], Scheme]:
        dice, channel_id = self._traffic, f"chaos-{number}"
        payload = self._modelriver.event(
            {"title": f"SENTINEL {number}", "text": "x" * dice.choice([10, 100, 2000])},
            channel_id=channel_id,
        )
        fate = dice.random()
        if fate < 0.15:
            tries = dice.randint(1, 4)
            bad = [dice.choice(BAD_TREATMENTS) for _ in range(tries)]
            self._modelriver.planned[channel_id].extend(bad)
        elif fate < 0.17:
            self._refused.add(channel_id)
            self._modelriver.planned[channel_id].append(dice.choice(FINAL_TREATMENTS))
        elif fate < 0.19:
            self._hostile.add(channel_id)
            host = self._elsewhere.origin.removeprefix("http://")
            payload["callback_url"] = dice.choice(
                [f"http://{host}/", f"{self._modelriver.origin}@{host}/", f"//{host}/", 7]
            )
        elif fate < 0.20:
            self._deadly.add(channel_id)
        if dice.random() < 0.3:
            return self._modelriver.nested(payload), "timestamped"
        return payload, "documented"

    def _on_callback(self, channel_id: str) -> None:
        """The first callback of a deadly channel has an instance killed before it is answered."""
        if channel_id in self._deadly:
            self._deadly.discard(channel_id)
            self._doomed.set()
            time.sleep(0.05)  # for the main thread to do it

    def _break_things(self) -> None:
        """One mischief after another, with a little peace between, while deliveries come."""
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            peace = time.monotonic() + self._mischief.uniform(0.2, 1.5)
            while time.monotonic() < peace:
                if self._doomed.wait(0.05):
                    self._doomed.clear()
                    self._kill_one()
            what, begin, end = self._mischief.choice(self._mischiefs())
            begin()
            self._pause()
            end()
            self.done[what] += 1

    def _mischiefs(self) -> list[tuple[str, Callable[[], None], Callable[[], None]]]:
        """What it is called, how it begins, and how it ends."""
        victim = self._mischief.choice(self._instances)
        postgres, pgbouncer, proxy = self._postgres, self._pgbouncer, self._proxy
        return [
            ("function killed", victim.kill, victim.start),
            ("function killed", victim.kill, victim.start),
            ("Postgres restarted", postgres.stop, postgres.start),
            ("Postgres crashed", postgres.crash, postgres.start),
            ("Postgres frozen", postgres.freeze, postgres.thaw),
            ("PgBouncer restarted", pgbouncer.stop, pgbouncer.start),
            ("PgBouncer frozen", pgbouncer.freeze, pgbouncer.thaw),
            ("packets swallowed", proxy.swallow, proxy.flow),
            ("sockets cut", proxy.cut, proxy.cut),
        ]

    def _kill_one(self) -> None:
        victim = self._mischief.choice(self._instances)
        victim.kill()
        victim.start()
        self.done["killed during a callback"] += 1

    def _pause(self) -> None:
        time.sleep(self._mischief.choice([0.1, 0.5, 1.0, 2.0, 6.0]))

    def _settle(self) -> bool:
        """All is well again; press retry until nothing is left, as an operator would."""
        retry_at = time.monotonic() + CALLBACK_WINDOW / self._speed  # redelivery's own course
        give_up_at = retry_at + SETTLE_WITHIN
        while time.monotonic() < give_up_at:
            for task in self._tasks:
                if task.state == "dead":
                    self._redelivery.retry(task)
            if self._redelivery.settle(1.0) and all(
                task.state == "delivered" for task in self._tasks
            ):
                return True
            if time.monotonic() > retry_at:
                self._redelivery.hurry()
        return False

    def _compare(self, settled: bool) -> Verdict:
        verdict = Verdict()
        faults = verdict.faults
        with psycopg.connect(self._postgres.url()) as connection:
            query = "SELECT channel_id, id::text FROM ai_content"
            stored: defaultdict[str, list[str]] = defaultdict(list)
            for channel_id, record_id in connection.execute(query):
                stored[channel_id].append(record_id)
        callbacks: defaultdict[str, list[Callback]] = defaultdict(list)
        for callback in list(self._modelriver.callbacks):
            callbacks[callback.channel_id].append(callback)

        channels = {task.channel_id: task for task in reversed(self._tasks)}
        acknowledged = {task.channel_id for task in self._tasks if task.state == "delivered"}
        told: Counter[str] = Counter()
        for channel_id in sorted(acknowledged):
            if not stored[channel_id]:
                faults["acknowledged, but lost"] += 1
            told[self._fate(channels[channel_id], callbacks)] += 1
        faults["stored twice"] = sum(len(ids) > 1 for ids in stored.values())
        faults["never called back"] = told.pop("never", 0)
        if self._speed == 1:
            faults["called back late, at ModelRiver's real pace"] = told["late"]
        faults["callbacks with a wrong id"] = sum(
            each.content.get("task_id", f"neon_{ids[0]}") != f"neon_{ids[0]}"
            for channel_id, ids in stored.items()
            for each in callbacks[channel_id]
        )
        every = self._modelriver.callbacks
        faults["malformed callbacks"] = sum(bool(each.problems) for each in every)
        faults["requests to another host"] = self._elsewhere.connections
        attempts = [attempt for task in self._tasks for attempt in task.attempts]
        faults["no answer while the process lived"] = sum(
            attempt.reply.status == 0 and not attempt.receiver_died for attempt in attempts
        )
        faults["answers over 25 s"] = sum(attempt.reply.seconds > 25 for attempt in attempts)
        lines = [line for instance in self._instances for line in instance.log]
        faults["log lines that tell a secret"] = sum(
            any(secret in line for secret in (*SECRETS, "dbsecret")) for line in lines
        )
        faults["log lines that are no JSON"] = sum(not line.startswith("{") for line in lines)
        faults["answers 500"] = sum(attempt.reply.status == 500 for attempt in attempts)
        if not settled:
            faults["deliveries that never ended"] = sum(
                task.state != "delivered" for task in self._tasks
            )
        longest = max(attempt.reply.seconds for attempt in attempts)
        verdict.figures = {
            "AI results": f"{len(channels):,}",
            "deliveries, duplicates among them": f"{len(self._tasks):,}",
            "attempts": f"{len(attempts):,}",
            "redeliveries used": f"{len(attempts) - len(self._tasks):,}",
            "rows": f"{sum(map(len, stored.values())):,}",
            "lost": str(faults["acknowledged, but lost"]),
            "stored twice": str(faults["stored twice"]),
            **{f"callbacks {when}": f"{count:,}" for when, count in sorted(told.items())},
            "callbacks never, though acknowledged": str(faults["never called back"]),
            "longest wait for an answer": f"{longest:.1f} s",
        }
        return verdict

    def _fate(self, task: Task, callbacks: dict[str, list[Callback]]) -> str:
        """What became of the callback of an AI result that was acknowledged."""
        if task.channel_id in self._hostile:
            return "none: callback_url elsewhere"
        if task.channel_id in self._refused:
            return "refused for good"
        taken = [each for each in callbacks[task.channel_id] if each.answered == 200]
        records = [each for each in taken if "data" in each.content]
        if any(self._redelivery.in_window(task, each) for each in records):
            return "in the window"
        return "late" if records else "never"


def run(seed: int | None, seconds: float, rate: float, speed: float) -> int:
    """Run, and print the table. Returns the exit status."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}: {rate:.0f} AI results a second for {seconds:.0f} s", flush=True)
    chaos = Chaos(seed, seconds, rate, speed)
    verdict = chaos.run()
    for name, value in verdict.figures.items():
        print(f"  {name:<40} {value}")
    print("  " + ", ".join(f"{what} {times} times" for what, times in sorted(chaos.done.items())))
    broken = {fault: count for fault, count in verdict.faults.items() if count}
    for fault, count in broken.items():
        print(f"  BROKEN: {fault}: {count}")
    print("  all promises kept" if not broken else "  promises broken")
    return 1 if broken else 0
