"""Whole histories: those that are worth keeping, and a few new ones (more: `make fuzz`)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from lib.jsontext import Json
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.trials.histories.machine import History
from lib.local.trials.histories.run import SETTINGS, parts

KEPT: dict[str, list[tuple[str, dict[str, Json]]]] = json.loads(
    Path(__file__).with_name("histories.json").read_text()
)


@pytest.fixture(scope="module", autouse=True)
def played(pgbouncer: PgBouncer) -> Iterator[None]:
    """The session's PgBouncer is asked for only to skip where there is none."""
    with parts():
        yield


@pytest.mark.parametrize("steps", KEPT.values(), ids=KEPT)
def test_what_is_worth_keeping(steps: list[tuple[str, dict[str, Json]]]) -> None:
    history = History()
    try:
        for name, arguments in steps:
            getattr(history, name)(**arguments)
            if history.database_is_there:
                history.all_promises_are_kept()
    finally:
        history.teardown()


def test_no_history_breaks_a_promise() -> None:
    few = settings(
        SETTINGS,
        max_examples=3,
        stateful_step_count=10,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    run_state_machine_as_test(History, settings=few)
