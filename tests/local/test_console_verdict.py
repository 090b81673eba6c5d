"""What the console says of a delivery, case by case."""

import time
from typing import Any

import pytest

from lib.jsontext import Json
from lib.local.console import verdict
from lib.local.console.entry import Answer, Entry, Exchange, Heard, Text, event_of, result_title
from lib.local.console.signature import explain
from lib.local.standins.deliveries import ENVELOPES, PRESETS
from lib.local.standins.modelriver import Delivery, ModelRiver
from lib.local.standins.redelivery import Task


def exchange(status: int | None = 200, outcome: str = "", **log: Json) -> Exchange:
    answer = None if status is None else Answer(status, [], Text("", 0), 1.0, "Connection refused")
    logged: dict[str, Json] = {"outcome": outcome, **log} if outcome else {}
    signature: dict[str, Json] = {"header": "mr-signature", "right": False}
    return Exchange("i", time.time(), [], Text("", 0), signature, answer=answer, log=logged)


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (exchange(outcome="called_back"), "Stored and called back."),
        (exchange(outcome="known"), "Delivered again: row and callback were there already."),
        (
            exchange(outcome="ignored"),
            "Acknowledged, not stored: nobody waits for a callback of it.",
        ),
        (
            exchange(outcome="ai_failed"),
            "The AI itself failed: there is nothing to store, and the person was told.",
        ),
        (
            exchange(401, "invalid_signature", reason="no signature matches"),
            "Invalid signature: signed with another secret than this function has.",
        ),
        (
            exchange(200, "callback_refused", reason="HTTP 404"),
            "Callback refused: HTTP 404, will not be tried again.",
        ),
        (
            exchange(
                200, "callback_refused", reason="callback_url is not at an origin of ModelRiver's"
            ),
            "Stored, but `callback_url` is not ModelRiver's: no callback is sent there.",
        ),
        (
            exchange(503, "callback_unavailable", reason="HTTP 500"),
            "Stored, but the callback was not taken: HTTP 500.",
        ),
        (
            exchange(503, "database_unavailable", reason="42P01"),
            "Not stored: the database is unavailable (the table is missing: make schema).",
        ),
        (
            exchange(200, "record_refused", reason="23514"),
            "Postgres refuses this very record (23514): no row.",
        ),
        (
            exchange(500, "internal_error", reason="KeyError at content.py:31"),
            "lib/content.py line 31: KeyError",
        ),
        (
            exchange(500, "internal_error", reason="KeyError at modelriver.py:31"),
            "api/modelriver.py line 31: KeyError",
        ),
        (
            exchange(500, "misconfigured", reason="DATABASE_URL is missing"),
            "The function is misconfigured: DATABASE_URL is missing.",
        ),
        (exchange(413, "body_too_large", reason="declared"), "Body too large: declared."),
        (exchange(None), "Being delivered: the answer is awaited."),
        (exchange(0), "No answer: Connection refused."),
        (exchange(202), "Answered HTTP 202."),
        (exchange(404), "Answered HTTP 404, and the function logged nothing of it."),
    ],
)
def test_one_line_about_an_attempt(made: Exchange, line: str) -> None:
    assert verdict.diagnosis(made) == line


def test_what_else_an_attempt_is_known_by() -> None:
    unsigned = exchange(401, "invalid_signature", reason="no signature matches")
    unsigned.signature = {"header": "", "right": False}
    assert verdict.diagnosis(unsigned) == "Invalid signature: the delivery is not signed."
    stale = exchange(401, "invalid_signature", reason="signed too long ago")
    stale.signature = {"header": "X-ModelRiver-Signature", "right": True}
    assert verdict.diagnosis(stale) == "Invalid signature: signed too long ago."
    known = exchange(outcome="known")
    refused = "Delivered again: its callback was refused for good before."
    assert verdict.diagnosis(known, refused_before=True) == refused
    down = exchange(502)
    down.trouble = "lib/content.py line 31: SyntaxError: invalid syntax"
    assert verdict.diagnosis(down) == down.trouble


TRACEBACK = """the function did not start:
Traceback (most recent call last):
  File "/x/.venv/lib/python3.12/site-packages/vercel_runtime/vc_init.py", line 9, in <module>
  File "/x/api/modelriver.py", line 20, in <module>
    from lib.webhook import Webhook
  File "/x/lib/content.py", line 31
    )
    ^
SyntaxError: unmatched ')'
"""


def test_a_file_that_cannot_run_is_named_with_its_line() -> None:
    assert verdict.broken_file(TRACEBACK) == "lib/content.py line 31: SyntaxError: unmatched ')'"
    assert verdict.broken_file("no traceback") == "no traceback"
    assert verdict.broken_file("") == ""


def heard(**changes: Any) -> Heard:
    facts = {"is_failure": False, "taken": True, "in_window": True, **changes}
    return Heard([], Text("", 0), problems=[], answered=200, received_at=0, record_id="", **facts)


@pytest.mark.parametrize(
    ("callbacks", "exchanges", "state", "due_in", "person"),
    [
        ([heard()], [exchange()], "delivered", None, "shown"),
        ([heard(is_failure=True)], [exchange()], "delivered", None, "told"),
        ([heard(is_failure=True), heard()], [exchange()], "delivered", None, "shown"),
        ([heard(in_window=False)], [exchange()], "delivered", None, "late"),
        ([heard(taken=False)], [exchange(503)], "pending", 30, "waiting"),
        ([], [exchange(503)], "pending", 600, "never"),  # the next attempt comes too late
        ([], [exchange(200, "callback_refused", reason="HTTP 404")], "delivered", None, "never"),
        ([], [exchange()], "delivered", None, "waiting"),  # its log line is on the way
        ([], [exchange(200, "ignored")], "delivered", None, "nobody"),
        ([], [exchange(200, "called_back")], "delivered", None, "shown"),  # ModelRiver took it
        ([], [exchange(200, "ai_failed")], "delivered", None, "told"),
        ([], [exchange(503, "database_unavailable", told=True)], "pending", 600, "told"),
        ([], [exchange(503)], "dead", None, "never"),
        ([], [], "pending", 0, "waiting"),
    ],
)
def test_how_the_person_fares(
    callbacks: list[Heard], exchanges: list[Exchange], state: Any, due_in: float | None, person: str
) -> None:
    task = Task({}, "documented", time.monotonic(), state=state)
    task.due = None if due_in is None else time.monotonic() + due_in
    entry = Entry(1, task, None, "", 0, time.time(), exchanges=exchanges, callbacks=callbacks)
    due_at = None if due_in is None else time.time() + due_in
    assert verdict.person(entry, time.time() + 300, due_at) == person
    gone_by = {"waiting": "never"}.get(person, person)
    assert verdict.person(entry, time.time() - 1, due_at) in {gone_by, "late"}


def test_somebody_elses_delivery_is_left_to_modelrivers_redelivery() -> None:
    task = Task({}, "documented", time.monotonic(), recorded=Delivery({}, b""))
    entry = Entry(1, task, None, "", 0, time.time(), exchanges=[exchange(None)])
    assert verdict.queue(entry) == "sending"
    entry.exchanges[0] = exchange(503, "callback_unavailable", reason="HTTP 500")
    assert verdict.queue(entry) == "refused"
    assert verdict.person(entry, time.time() + 300, None) == "waiting"
    assert verdict.person(entry, time.time() - 1, None) == "never"


@pytest.mark.parametrize(
    ("preset", "title"),
    [
        ("structured", "Inception"),
        ("text", "Bare text."),
        ("chat", "A chat completion."),
        ("openai", "The provider's own answer, as it came."),
        ("anthropic", "The provider's own answer, as it came."),
        ("gemini", "The provider's own answer, as it came."),
        ("large", "4 MB"),
    ],
)
@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_delivery_is_called_by_its_result(
    modelriver: ModelRiver, preset: str, title: str, envelope: str
) -> None:
    payload = ENVELOPES[envelope](modelriver.event(PRESETS[preset], event="an event"))
    assert result_title(payload) == ("" if envelope == "AI failed" else title)
    has_event = envelope not in {"bare", "completed"}
    assert event_of(payload) == ("an event" if has_event else None)


@pytest.mark.parametrize("payload", [{}, {"data": None}, {"ai_response": []}, {"data": {"a": [1]}}])
def test_what_has_no_title_has_none(payload: dict[str, Json]) -> None:
    assert result_title(payload) == ""


def test_a_signature_is_explained_where_it_stands(modelriver: ModelRiver) -> None:
    payload = modelriver.nested(modelriver.event({"title": "盗"}))
    signed = modelriver.sign(payload, "timestamped")
    told = explain(signed.headers, signed.body, ["another", modelriver.secret])
    assert (told["over"], told["right"]) == ("data", True)
    whole = modelriver.sign(payload, "timestamped whole body")
    assert explain(whole.headers, whole.body, [modelriver.secret])["over"] == "body"
    assert explain(whole.headers, whole.body, ["another"])["right"] is False
    assert explain({}, b"", [modelriver.secret]) == {"header": "", "right": False}
    assert explain({"X-ModelRiver-Signature": "盗"}, b"no JSON", ["s"])["right"] is False
