"""What is to be said of a delivery: how the person fares who waits for it, and what went wrong."""

import re
import time
from collections.abc import Iterator

from lib.jsontext import Json
from lib.local.console.entry import Entry, Exchange

STEPS = ("verify", "read", "save", "callback")
"""What the function's log has of each step before its answer, in order."""

_SAID = {
    "called_back": "Stored and called back.",
    "known": "Delivered again: row and callback were there already.",
    "ignored": "Acknowledged, not stored: nobody waits for a callback of it.",
    "ai_failed": "The AI itself failed: there is nothing to store, and the person was told.",
    "record_refused": "Postgres refuses this very record ({reason}): no row.",
    "database_unavailable": "Not stored: the database is unavailable ({reason}).",
    "callback_unavailable": "Stored, but the callback was not taken: {reason}.",
    "callback_refused": "Callback refused: {reason}, will not be tried again.",
    "internal_error": "{reason}",
    "misconfigured": "The function is misconfigured: {reason}.",
    "invalid_signature": "Invalid signature: {reason}.",
    "invalid_body": "Invalid body: {reason}.",
}
"""One line for each outcome that the function logs."""
_REASONS = {
    "ReadTimeout": "no answer came",
    "ConnectionError": "no answer came",  # whether it was silent, cut or refused
    "HTTP 401": "HTTP 401, the API key is not ModelRiver's",
    "42P01": "the table is missing: make schema",
    "42703": "a column is missing: make schema",
}
_PLACE = re.compile(r"(\w+) at (\w+\.py):(\d+)")


def queue(entry: Entry) -> str:
    """How the delivery itself stands: sending, waiting, delivered, refused or dead."""
    task = entry.task
    if not entry.is_ours and entry.exchanges and not task.under_way:
        answer = entry.exchanges[-1].answer
        if answer is None:
            return "sending"
        return "delivered" if 200 <= answer.status < 300 else "refused"
    if task.under_way or (task.due is not None and not entry.exchanges):
        return "sending"
    return "waiting" if task.state == "pending" else task.state


def person(entry: Entry, window_ends_at: float, due_at: float | None) -> str:
    """How the person fares: shown, told (that it failed), waiting, late, never, or nobody waits.

    Both times are Unix seconds.
    """
    if heard := _heard(entry):
        return heard
    outcomes = {each.log["outcome"]: each for each in entry.exchanges if each.log}
    if outcomes and set(outcomes) <= {"ignored"}:
        return "nobody"
    # ModelRiver itself has taken what the stand-in never saw.
    if called := outcomes.get("called_back"):
        return "shown" if called.began_at <= window_ends_at else "late"
    if "ai_failed" in outcomes or any(each.log.get("told") for each in outcomes.values()):
        return "told"
    still = _may_come(entry, window_ends_at, due_at)
    return "waiting" if still and time.time() < window_ends_at else "never"


def _heard(entry: Entry) -> str:
    """What the callbacks say that were taken; empty where they say nothing."""
    taken = [each for each in entry.callbacks if each.taken]
    if any(each.in_window and not each.is_failure for each in taken):
        return "shown"
    if any(each.in_window for each in taken):
        return "told"
    return "late" if any(not each.is_failure for each in taken) else ""


def _may_come(entry: Entry, window_ends_at: float, due_at: float | None) -> bool:
    """Whether a callback can still be expected before the person gives up."""
    match queue(entry):
        case "waiting":
            return due_at is not None and due_at < window_ends_at
        case "delivered":
            return not entry.exchanges[-1].log and not entry.task.url  # it comes after the answer
        case "dead":
            return False
    return True  # under way, or left to ModelRiver's own redelivery


def diagnoses(entry: Entry) -> Iterator[str]:
    """One line about each attempt; about one that is under way, what the one before came to."""
    refused = any(str(each.log.get("reason")).startswith("HTTP") for each in entry.exchanges)
    before = ""
    for number, each in enumerate(entry.exchanges, 1):
        line = diagnosis(each, refused_before=refused)
        is_awaited = each.answer is None and not each.log and not each.trouble
        yield f"{before} Attempt {number} is under way." if before and is_awaited else line
        before = line


def diagnosis(exchange: Exchange, *, refused_before: bool = False) -> str:
    """One line about an attempt. `refused_before`: its callback, for good, by an earlier one."""
    if exchange.trouble or not exchange.log:
        return exchange.trouble or _unlogged(exchange)
    outcome = str(exchange.log["outcome"])
    reason = _reason(exchange, outcome, str(exchange.log.get("reason", "")))
    if outcome == "known" and refused_before:
        return "Delivered again: its callback was refused for good before."
    if outcome == "callback_refused" and not reason.startswith("HTTP"):
        return "Stored, but `callback_url` is not ModelRiver's: no callback is sent there."
    words = outcome.replace("_", " ").capitalize()
    return _SAID.get(outcome, f"{words}: {{reason}}.").format(reason=reason)


def _reason(exchange: Exchange, outcome: str, logged: str) -> str:
    """The logged reason, in words where it is a name of somebody's."""
    if outcome == "invalid_signature":
        return _signature(exchange, logged)
    if found := _PLACE.fullmatch(logged):
        folder = "api" if found[2] == "modelriver.py" else "lib"
        return f"{folder}/{found[2]} line {found[3]}: {found[1]}"
    return next((said for known, said in _REASONS.items() if known in logged), logged)


def _unlogged(exchange: Exchange) -> str:
    answer = exchange.answer
    if answer is None:
        return "Being delivered: the answer is awaited."
    if not answer.status:
        return f"No answer: {answer.reason or 'the connection was cut'}."
    if answer.status < 300:
        return f"Answered HTTP {answer.status}."
    return f"Answered HTTP {answer.status}, and the function logged nothing of it."


def _signature(exchange: Exchange, reason: str) -> str:
    if not exchange.signature["header"]:
        return "the delivery is not signed"
    if exchange.signature["right"]:
        return reason
    return "signed with another secret than this function has"


def broken_file(said: str) -> str:
    """The one line in what Python says of a file that it cannot run: place and error.

    `said` is a traceback, or ends with one; without, its last line is what is left.
    """
    lines = [line.strip() for line in said.strip().splitlines()]
    places = [found for line in lines if (found := _FILE.match(line))]
    last = lines[-1] if lines else ""
    return f"{places[-1][1]} line {places[-1][2]}: {last}" if places else last


_FILE = re.compile(r'File "[^"]*?((?:api|lib)/\w+\.py)", line (\d+)')


def steps(exchange: Exchange) -> Iterator[dict[str, Json]]:
    """The attempt and what it consists of: name, start and duration, both in milliseconds.

    The function's log tells how long each step took, not when it began. They follow upon one
    another and end with the answer, so what is left in front is HTTP and reading the body.
    """
    logged = exchange.log.get("ms")
    taken = logged.items() if isinstance(logged, dict) else ()
    durations = {name: float(ms) for name, ms in taken if isinstance(ms, (int, float))}
    inside = sum(durations.get(name, 0.0) for name in STEPS)
    whole = exchange.answer.ms if exchange.answer else inside
    if exchange.answer:
        yield {"name": "attempt", "start": 0.0, "ms": whole}
    start = max(0.0, whole - inside)
    for name in STEPS:
        if name in durations:
            yield {"name": name, "start": round(start, 2), "ms": durations[name]}
            start += durations[name]
    if "note" in durations:
        yield {"name": "note", "start": round(whole, 2), "ms": durations["note"]}
