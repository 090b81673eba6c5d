"""What becomes of a delivery: verified, read, stored, called back. All decisions are made here.

A 2xx means that nothing is left to do: the row is committed, and ModelRiver has answered the
callback for good or was told of the failure. What a redelivery can cure is a 503. So a crash at any
point is safe: a redelivery finds the row, and does only what is missing.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from lib import errors
from lib.callback import Callbacks, failure, success
from lib.content import TABLE, Record, to_row
from lib.event import AiGenerated, read
from lib.jsontext import Json, dump
from lib.settings import api_key, callback_origins, database_url, webhook_secrets
from lib.signature import verify

ANSWER_WITHIN = 24.0  # seconds from a delivery's headers; ModelRiver gives up after 30
SAVE_WITHIN = 12.0  # seconds of these for the database, so that some are left to call back
NOTE_WITHIN = 4.0  # seconds after the answer, still within the function's maxDuration
# Seconds after the AI result: who waits is told of a failure by the attempt at 155, since the next
# is too late for the callback (https://modelriver.com/docs/webhooks/delivery-and-retries).
TELL_FROM, TELL_UNTIL = 150.0, 300.0
NOT_STORED = "The AI result could not be stored."

_logger = logging.getLogger("modelriver")


@dataclass(slots=True)
class Answer:
    """What the sender is told; what remains to be done after that; what the log will say."""

    due: float  # the time.monotonic() by which it must be given
    status: int = 200
    content: dict[str, Json] = field(default_factory=lambda: {"received": True})
    note: tuple[str, str | None] | None = None  # the record that was called back, and the error
    level: int = logging.INFO
    outcome: str = ""
    details: dict[str, Json] = field(default_factory=dict)
    milliseconds: dict[str, Json] = field(default_factory=dict)

    def fail(self, error: errors.DeliveryError) -> None:
        self.status, self.level, self.outcome = error.status, error.level, error.outcome
        if error.status != 200:
            self.content = {"error": error.__doc__}
        self.details["reason"] = error.reason

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.milliseconds[name] = round((time.perf_counter() - started) * 1000, 2)


class Webhook:
    """The receiver, and what it keeps from one delivery to the next: connections."""

    misconfigured: str | None = None  # the name of a variable, and what is wrong with it

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Connects to ModelRiver alone: Neon may sleep until there is a row to save."""
        try:
            self._secrets = webhook_secrets(environment)
            self._callbacks = Callbacks(api_key(environment), callback_origins(environment))
            self._callbacks.connect_ahead()
            from lib.database import Database  # noqa: PLC0415 - imports psycopg meanwhile

            self._database = Database(database_url(environment))
        except errors.Misconfigured as error:
            self.misconfigured = error.reason
            _logger.log(error.level, dump({"outcome": error.outcome, "reason": error.reason}))

    def receive(self, headers: Mapping[str, str], read_body: Callable[[], bytes]) -> Answer:
        """Do all that the sender waits for. `headers` has names in lower case. Never raises."""
        answer = Answer(due=time.monotonic() + ANSWER_WITHIN)
        try:
            answer.outcome = self._process(headers, read_body(), answer)
        except errors.DeliveryError as error:
            answer.fail(error)
        except Exception as error:  # noqa: BLE001 - the platform would drop the connection
            answer.fail(errors.InternalError(errors.place(error)))
        return answer

    def conclude(self, answer: Answer) -> None:
        """Do what can wait until the answer is out: the note on the row, and the log line."""
        if answer.note:
            try:
                with answer.step("note"):
                    self._database.note(*answer.note, time.monotonic() + NOTE_WITHIN)
            except errors.DeliveryError as error:
                answer.details["note"] = error.reason
        entry = {"outcome": answer.outcome, **answer.details, "ms": answer.milliseconds}
        _logger.log(answer.level, dump(entry))

    def _process(self, headers: Mapping[str, str], body: bytes, answer: Answer) -> str:
        """Returns the outcome, where it is a good one."""
        event = self._read(headers, body, answer)
        if event is None:
            return "ignored"
        if event.ai_failed:
            self._tell(event, "The AI request failed.", answer)
            return "ai_failed"
        record = self._save(event, answer)
        refused = f"{errors.CallbackRefused.outcome}: HTTP"
        if record.called_back or (record.callback_error or "").startswith(refused):
            return "known"
        url, ai_data = event.callback_url, event.ai_result
        # A row that was there before is returned as it was stored, and to its own URL; unless that
        # is a stranger's, who was first to deliver what signs no URL.
        if not record.is_new:
            ai_data = record.stored_ai_data
            url = record.callback_url if self._callbacks.pinned(record.callback_url) else url
        try:
            self._call_back(url, success(record.id, record.saved_at, TABLE, ai_data), answer)
        except errors.DeliveryError as error:
            answer.note = (record.id, f"{error.outcome}: {error.reason}")
            raise
        answer.note = (record.id, None)
        return "called_back"

    def _read(self, headers: Mapping[str, str], body: bytes, answer: Answer) -> AiGenerated | None:
        if self.misconfigured:
            raise errors.Misconfigured(self.misconfigured)
        now = time.time()
        with answer.step("verify"):
            signed = verify(body, headers, self._secrets, now)
        with answer.step("read"):
            event = read(signed, headers)
        if event:
            age = event.age(now)
            answer.details = {
                "channel": event.channel_id[:100],
                "event": event.event and event.event[:100],
                "age": None if age is None else round(age, 3),
            }
        return event

    def _save(self, event: AiGenerated, answer: Answer) -> Record:
        """Store the event; where that fails for good, or for too long, tell who waits."""
        save_by = min(answer.due, time.monotonic() + SAVE_WITHIN)
        try:
            with answer.step("save"):
                return self._database.save(to_row(event), save_by)
        except errors.RecordRefused:
            with contextlib.suppress(errors.CallbackRefused):  # it is over, told or not
                self._tell(event, NOT_STORED, answer)
            raise
        except errors.DatabaseUnavailable:
            age = event.age(time.time())
            if age is not None and TELL_FROM <= age < TELL_UNTIL:
                with contextlib.suppress(errors.DeliveryError):  # it is a 503 either way
                    self._tell(event, NOT_STORED, answer)
            raise

    def _tell(self, event: AiGenerated, message: str, answer: Answer) -> None:
        self._call_back(event.callback_url, failure(message), answer)
        answer.details["told"] = True

    def _call_back(self, url: str, payload: dict[str, Json], answer: Answer) -> None:
        with answer.step("callback"):
            self._callbacks.send(url, payload, answer.due - time.monotonic())
