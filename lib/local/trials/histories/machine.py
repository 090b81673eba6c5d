"""Histories: what may happen to a few AI results, in any order, and what must hold after it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lib.jsontext import Json
from lib.local.database import connect
from lib.local.standins.modelriver import SCHEMES, Delivery, Scheme
from lib.local.standins.stack import Stack
from lib.local.trials.histories.destination import (
    FINAL,
    TREATMENTS,
    Callback,
    Destination,
    Key,
)
from lib.local.trials.histories.model import Model
from lib.local.until import until

ENTRYPOINT = "lib/local/trials/histories/hurried.py"
REFUSED = "REFUSED"
"""A title that the table's owner does not want."""
CONSTRAINT = f"ALTER TABLE ai_content ADD CONSTRAINT wanted CHECK (title <> '{REFUSED}')"
_QUERY = """SELECT channel_id, coalesce(event_name, '') AS event, id::text, ai_data, callback_error,
    called_back_at IS NOT NULL AS called_back,
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS saved_at
    FROM ai_content WHERE starts_with(channel_id, %s)"""

numbers = st.integers(0, 2)
events = st.sampled_from([None, "", "e"])
titles = st.sampled_from(["one", "two", REFUSED])
schemes = st.sampled_from(SCHEMES)
treatments = st.sampled_from(sorted(TREATMENTS))


class History(RuleBasedStateMachine):
    """Deliveries and faults. The parts are started once, and each history has its own channels."""

    stack: ClassVar[Stack]
    destination: ClassVar[Destination]

    def __init__(self) -> None:
        super().__init__()
        self._prefix = uuid4().hex
        self._model = Model()
        self._end_of_fault: Callable[[], None] | None = None
        """What brings the database back, where it is away."""
        self._is_fresh = True
        """Whether the function's process has had no delivery yet."""

    @property
    def database_is_there(self) -> bool:
        return self._end_of_fault is None

    @rule(number=numbers, event=events, title=titles, scheme=schemes, treatment=treatments)
    def deliver(
        self, number: int, event: str | None, title: str, scheme: Scheme, treatment: str
    ) -> None:
        self._deliver_at_once(number, event, title, scheme, treatment, times=1)

    @rule(
        number=numbers,
        event=events,
        title=titles,
        scheme=schemes,
        treatment=treatments,
        times=st.integers(2, 4),
    )
    def deliver_at_once(
        self, number: int, event: str | None, title: str, scheme: Scheme, treatment: str, times: int
    ) -> None:
        self._deliver_at_once(number, event, title, scheme, treatment, times)

    @rule(number=numbers, event=events, scheme=schemes)
    def alter(self, number: int, event: str | None, scheme: Scheme) -> None:
        """A stranger writes another title into a delivery that was signed."""
        delivery = self._delivery(self._key(number, event), event, "one", scheme)
        altered = replace(delivery, body=delivery.body.replace(b'"one"', b'"won"'))
        before = len(self.destination.callbacks)
        assert self._send(altered) == 401
        assert len(self.destination.callbacks) == before

    @precondition(lambda self: self.database_is_there)
    @rule(number=numbers, event=events)
    def kill_during_a_callback(self, number: int, event: str | None) -> None:
        """The row is committed, ModelRiver has not answered; in a settled one nothing happens."""
        key = self._key(number, event)
        self.destination.open.clear()
        self.destination.arrived.clear()
        with ThreadPoolExecutor(1) as threads:
            delivery = self._delivery(key, event, "one", "documented")
            answer = threads.submit(self._send, delivery)
            assert until(lambda: self.destination.arrived.is_set() or answer.done(), 30)
            self.stack.vercel.kill()
            self.destination.open.set()
            self._note(key, "one", answer.result())
        self._start()

    @precondition(lambda self: not self._is_fresh)
    @rule()
    def kill(self) -> None:
        self.stack.vercel.kill()
        self._start()

    @precondition(lambda self: self.database_is_there)
    @rule()
    def freeze_postgres(self) -> None:
        self.stack.postgres.freeze()
        self._end_of_fault = self.stack.postgres.thaw

    @precondition(lambda self: self.database_is_there)
    @rule()
    def stop_postgres(self) -> None:
        self.stack.postgres.stop()
        self._end_of_fault = self.stack.postgres.start

    @precondition(lambda self: self.database_is_there)
    @rule()
    def crash_postgres(self) -> None:
        self.stack.postgres.crash()
        self._end_of_fault = self.stack.postgres.start

    @precondition(lambda self: not self.database_is_there)
    @rule()
    def mend(self) -> None:
        """The database is there again, and the function finds it by itself."""
        if self._end_of_fault:
            self._end_of_fault()
        self.destination.treatment = TREATMENTS["taken"]
        key = self._key(9, None)
        delivery = self._delivery(key, None, "one", "documented")
        assert until(lambda: self._send(delivery) == 200, 60)
        self._note(key, "one", 200)
        self._end_of_fault = None

    @precondition(lambda self: self.database_is_there)
    @rule()
    def restart_pgbouncer(self) -> None:
        self.stack.pgbouncer.stop()
        self.stack.pgbouncer.start()

    @precondition(lambda self: self.database_is_there)
    @invariant()
    def all_promises_are_kept(self) -> None:
        with connect(self.stack.direct_url) as connection:
            rows = connection.execute(_QUERY, [self._prefix]).fetchall()
        broken = self._model.broken(rows, self._callbacks())
        assert broken == [], [*broken, *self.stack.vercel.log[-5:]]

    def teardown(self) -> None:
        """For the next history all parts run again, however this one ended."""
        self.destination.open.set()
        if self.stack.vercel.port == 0:
            self.stack.vercel.start()
        if not self.database_is_there:
            self.mend()

    def _key(self, number: int, event: str | None) -> Key:
        return f"{self._prefix}-{number}", event or ""

    def _callbacks(self) -> list[Callback]:
        return [
            each
            for each in list(self.destination.callbacks)
            if each.key[0].startswith(self._prefix)
        ]

    def _deliver_at_once(
        self, number: int, event: str | None, title: str, scheme: Scheme, treatment: str, times: int
    ) -> None:
        key = self._key(number, event)
        self.destination.treatment = TREATMENTS[treatment]
        known = any(each.key == key and each.status in FINAL for each in self._callbacks())
        allowed = {*TREATMENTS[treatment].answers, *([200] if known else [])}
        delivery = self._delivery(key, event, title, scheme)
        with ThreadPoolExecutor(times) as threads:
            answers = list(threads.map(self._send, [delivery] * times))
        if self._end_of_fault:
            allowed = {503}
        for answer in answers:
            assert answer in allowed, (answer, self.stack.vercel.log[-5:])
            self._note(key, title, answer)

    def _note(self, key: Key, title: str, answer: int) -> None:
        if answer == 200:
            (self._model.told if title == REFUSED else self._model.stored).add(key)

    def _delivery(self, key: Key, event: str | None, title: str, scheme: Scheme) -> Delivery:
        river = self.stack.modelriver
        members: dict[str, Json] = {"channel_id": key[0], "event": event}
        payload = river.event({"title": title}, callback_url=self.destination.url(key), **members)
        return river.sign(river.nested(payload) if scheme == "timestamped" else payload, scheme)

    def _start(self) -> None:
        self.stack.vercel.start()
        self._is_fresh = True

    def _send(self, delivery: Delivery) -> int:
        self._is_fresh = False
        return self.stack.modelriver.deliver(self.stack.vercel.url, delivery).status
