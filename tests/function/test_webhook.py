"""Decisions that depend on time or on faults, in this process; the others are in tests/stack."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from lib import content
from lib import webhook as module
from lib.callback import failure, success
from lib.database_connection import CANCEL_TIMEOUT
from lib.jsontext import Json
from lib.local.database import Connection
from lib.local.project import ROOT
from lib.local.standins.modelriver import ModelRiver, Treatment
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port
from lib.local.standins.signing import Scheme
from lib.local.until import until
from lib.webhook import Answer, Webhook
from tests.support import release


@pytest.fixture
def river() -> Iterator[ModelRiver]:
    with ModelRiver() as stand_in:
        yield stand_in


@pytest.fixture
def webhook(river: ModelRiver, postgres: Postgres, database: str) -> Iterator[Webhook]:
    opened = Webhook({**river.settings, "DATABASE_URL": postgres.url(database)})
    yield opened
    release(opened)


@pytest.fixture
def severed(river: ModelRiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """Its database cannot be reached, and is not tried for long."""
    monkeypatch.setattr(module, "SAVE_WITHIN", 0.4)
    url = f"postgresql://u:dbsecret@127.0.0.1:{free_port()}/d"
    opened = Webhook({**river.settings, "DATABASE_URL": url})
    yield opened
    release(opened)


def receive(
    webhook: Webhook, river: ModelRiver, payload: Json, scheme: Scheme = "documented"
) -> Answer:
    delivery = river.sign(payload, scheme)
    headers = {name.lower(): value for name, value in delivery.headers.items()}
    answer = webhook.receive(headers, lambda: delivery.body)
    webhook.conclude(answer)
    return answer


def aged(river: ModelRiver, seconds: float, **members: Json) -> dict[str, Json]:
    return river.event({"title": "t"}, timestamp=time.time() - seconds, **members)


@pytest.mark.parametrize(
    ("age", "told"),
    [(0, 0), (36, 0), (149, 0), (150, 1), (156, 1), (299, 1), (300, 0), (756, 0), (-400, 0)],
)
def test_who_waits_is_told_when_the_next_redelivery_comes_too_late(
    severed: Webhook, river: ModelRiver, age: float, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = float(round(time.time()))
    clock = SimpleNamespace(
        time=lambda: now, monotonic=time.monotonic, perf_counter=time.perf_counter
    )
    monkeypatch.setattr(module, "time", clock)
    answer = receive(severed, river, river.event({}, timestamp=now - age))
    assert answer.status == 503
    assert len(river.callbacks) == told
    assert all(each.content["error"] == "processing_failed" for each in river.callbacks)
    assert all(each.problems == () for each in river.callbacks)


def test_modelriver_is_connected_to_before_there_is_a_delivery(
    webhook: Webhook, river: ModelRiver
) -> None:
    assert until(lambda: river.connections == 1)
    assert river.callbacks == []


def test_nobody_is_told_where_the_age_is_not_known(severed: Webhook, river: ModelRiver) -> None:
    assert receive(severed, river, river.event({}, timestamp=None)).status == 503
    assert river.callbacks == []


def test_who_cannot_be_told_gets_a_503_all_the_same(severed: Webhook, river: ModelRiver) -> None:
    river.treatment = Treatment(status=404)
    assert receive(severed, river, aged(river, 200)).status == 503


@pytest.mark.parametrize(
    ("status", "answered", "outcome", "reason"),
    [
        (200, 200, "record_refused", "23514"),
        (404, 200, "record_refused", "23514"),
        (401, 503, "callback_unavailable", "HTTP 401"),
    ],
)
def test_a_refused_record_is_over_once_modelriver_knows(
    webhook: Webhook,
    river: ModelRiver,
    rows: Connection,
    status: int,
    answered: int,
    outcome: str,
    reason: str,
) -> None:
    rows.execute("ALTER TABLE ai_content ADD CHECK (title <> 't')")
    river.treatment = Treatment(status=status)
    answer = receive(webhook, river, aged(river, 0))
    assert answer.status == answered
    assert (answer.outcome, answer.details["reason"]) == (outcome, reason)
    assert (answer.content == {"received": True}) == (answered == 200)
    assert answer.details.get("told") is (True if status == 200 else None)
    assert [each.content for each in river.callbacks] == [
        {"error": "processing_failed", "message": "The AI result could not be stored."}
    ]


def test_a_note_that_fails_does_not_fail_the_delivery(
    webhook: Webhook, river: ModelRiver, rows: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelriver")
    rows.execute("ALTER TABLE ai_content ADD CHECK (called_back_at IS NULL)")
    assert receive(webhook, river, aged(river, 0)).status == 200
    assert json.loads(caplog.messages[-1])["note"] == "23514"


def test_a_redelivery_knows_from_the_row_that_it_was_called_back(
    webhook: Webhook, river: ModelRiver, postgres: Postgres, database: str
) -> None:
    payload = aged(river, 0)
    assert receive(webhook, river, payload).status == 200
    other = Webhook({**river.settings, "DATABASE_URL": postgres.url(database)})
    assert receive(other, river, payload).outcome == "known"
    release(other)
    assert len(river.callbacks) == 1


@pytest.mark.parametrize("change", [{"type": "other"}, {"callback_url": None}])
def test_what_nobody_waits_for_is_ignored(
    webhook: Webhook, river: ModelRiver, rows: Connection, change: dict[str, Json]
) -> None:
    answer = receive(webhook, river, {**aged(river, 0), **change})
    assert (answer.status, answer.outcome) == (200, "ignored")
    assert rows.execute("SELECT FROM ai_content").fetchall() == []


def test_who_waits_is_told_that_the_ai_failed(webhook: Webhook, river: ModelRiver) -> None:
    failed = {**aged(river, 0), "ai_response": None, "error": "no model"}
    answer = receive(webhook, river, failed)
    assert (answer.status, answer.outcome, answer.details["told"]) == (200, "ai_failed", True)
    assert [each.content for each in river.callbacks] == [failure("The AI request failed.")]


def test_the_callback_carries_the_row(
    webhook: Webhook, river: ModelRiver, rows: Connection
) -> None:
    assert receive(webhook, river, aged(river, 0)).outcome == "called_back"
    (row,) = rows.execute("SELECT id::text FROM ai_content").fetchall()
    (callback,) = river.callbacks
    data = callback.content["data"]
    assert isinstance(data, dict)
    saved_at = str(data["saved_at"])
    assert callback.content == success(str(row["id"]), saved_at, "ai_content", {"title": "t"})
    assert abs(datetime.fromisoformat(saved_at).timestamp() - time.time()) < 300


def test_a_callback_that_fails_is_noted(
    webhook: Webhook, river: ModelRiver, rows: Connection
) -> None:
    river.treatment = Treatment(status=404)
    payload = aged(river, 0)
    assert receive(webhook, river, payload).outcome == "callback_refused"
    (row,) = rows.execute("SELECT callback_error FROM ai_content").fetchall()
    assert row["callback_error"] == "callback_refused: HTTP 404"
    assert receive(webhook, river, payload).outcome == "known"


def test_what_is_misconfigured_is_named_at_each_delivery(river: ModelRiver) -> None:
    answer = receive(Webhook({}), river, aged(river, 0))
    assert (answer.status, answer.outcome) == (500, "misconfigured")
    assert answer.details == {"reason": "MODELRIVER_WEBHOOK_SECRET is missing"}


def test_what_nobody_signed_is_a_401(severed: Webhook) -> None:
    answer = severed.receive({}, lambda: b"{}")
    assert (answer.status, answer.content) == (401, {"error": "Invalid signature"})


def test_a_callback_is_not_waited_for_when_the_answer_is_due(
    webhook: Webhook, river: ModelRiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(webhook, river, aged(river, 0))  # so that a connection to Postgres is there
    monkeypatch.setattr(module, "ANSWER_WITHIN", 2.0)
    river.treatment = Treatment(delay=5)
    answer = receive(webhook, river, aged(river, 0))
    assert (answer.status, answer.details["reason"]) == (503, "no answer in time")


def test_a_timestamped_signature_is_as_good(webhook: Webhook, river: ModelRiver) -> None:
    assert receive(webhook, river, aged(river, 0), "timestamped").status == 200


def test_a_redelivery_is_called_back_with_what_was_stored_and_to_where_it_was(
    webhook: Webhook, river: ModelRiver
) -> None:
    first = aged(river, 0)
    channel = str(first["channel_id"])
    river.planned[channel].append(Treatment(status=401))
    assert receive(webhook, river, first).status == 503
    altered = river.event(
        {"title": "altered"}, channel_id=channel, callback_url=river.callback_url("other")
    )
    assert receive(webhook, river, altered).outcome == "called_back"
    assert river.callbacks_for("other") == []
    callback = river.callbacks_for(channel)[-1]
    data = callback.content["data"]
    assert isinstance(data, dict)
    assert data["title"] == "t"


def test_a_callback_url_that_a_stranger_put_there_first_silences_nobody(
    webhook: Webhook, river: ModelRiver
) -> None:
    payload = aged(river, 0)
    assert receive(webhook, river, {**payload, "callback_url": "https://evil.test/"}).status == 200
    assert receive(webhook, river, payload).status == 200
    (callback,) = river.callbacks_for(str(payload["channel_id"]))
    assert "data" in callback.content


def test_a_fault_of_our_own_is_a_500_that_tells_where(
    webhook: Webhook,
    river: ModelRiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_: object) -> None:
        raise KeyError("some AI content")

    monkeypatch.setattr(content, "to_text", broken)
    answer = receive(webhook, river, aged(river, 0))
    assert answer.status == 500
    assert answer.content == {"error": "Internal error"}
    # Not the line of the test's, or of a library's, that raised it.
    reason = json.loads(caplog.messages[-1])["reason"]
    assert (found := re.fullmatch(r"KeyError at content\.py:(\d+)", reason))
    assert "to_text(" in Path(content.__file__).read_text().splitlines()[int(found[1]) - 1]
    assert "AI content" not in caplog.text


def test_a_fault_of_who_reads_the_body_is_a_500_too() -> None:
    answer = Webhook({}).receive({}, lambda: bytes(-1))
    assert answer.status == 500
    assert str(answer.details["reason"]).startswith("ValueError at webhook.py:")


def test_a_fault_in_frozen_code_is_a_500_too(
    webhook: Webhook,
    river: ModelRiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "to_row", lambda _: os.environ["NOT_THERE"])
    assert receive(webhook, river, aged(river, 0)).status == 500
    assert json.loads(caplog.messages[-1])["reason"].startswith("KeyError at webhook.py:")


def test_the_log_line(
    webhook: Webhook, river: ModelRiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelriver")
    began = time.perf_counter()
    answer = receive(webhook, river, aged(river, 7, channel_id="c" * 500, event="e" * 500))
    spent = (time.perf_counter() - began) * 1000
    assert (answer.status, answer.content) == (200, {"received": True})
    (message,) = caplog.messages
    entry = json.loads(message)
    assert entry["outcome"] == "called_back"
    assert (entry["channel"], entry["event"]) == ("c" * 100, "e" * 100)
    assert 7 <= entry["age"] < 60
    assert set(entry["ms"]) == {"verify", "read", "save", "callback", "note"}
    assert 0 < sum(entry["ms"].values()) < spent
    assert len(set(entry["ms"].values())) > 1  # each its own
    assert next(iter(entry)) == "outcome"


def test_a_step_is_logged_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((1.0, 5.5012344))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    answer = Answer(due=0)
    with answer.step("save"):
        pass
    assert answer.milliseconds == {"save": 4501.23}


def test_all_is_over_before_the_platform_ends_it() -> None:
    functions = json.loads((ROOT / "vercel.json").read_text())["functions"]
    longest = functions["api/modelriver.py"]["maxDuration"]
    assert longest > module.ANSWER_WITHIN + module.NOTE_WITHIN + CANCEL_TIMEOUT


def test_a_misconfigured_deployment_names_the_variable_once_it_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    webhook = Webhook({"MODELRIVER_WEBHOOK_SECRET": "s", "MODELRIVER_API_KEY": "k"})
    reason = "DATABASE_URL is missing"
    assert webhook.misconfigured == reason
    assert json.loads(caplog.messages[0]) == {"outcome": "misconfigured", "reason": reason}
