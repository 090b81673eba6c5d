"""README.md beside this file: what it says of the tests is so."""

import re
from pathlib import Path

from lib.errors import DeliveryError

TESTS = Path(__file__).parent
PAGE = (TESTS / "README.md").read_text()
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
OTHER_OUTCOMES = {"called_back", "known", "ignored", "ai_failed"}
"""What the log says of a delivery that did not end in an error."""


def rows() -> list[list[str]]:
    """The cells of each line of the two tables, which have three columns."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if len(row) == 3 and row[-1] not in {"kept by", "---"}]


def test_each_test_that_is_named_is_there() -> None:
    named = set(NAMED.findall(PAGE))
    texts = {path: (TESTS / path).read_text() for path, _ in named}
    assert named
    assert [each for each in named if f"\ndef {each[1]}(" not in texts[each[0]]] == []


def test_each_promise_and_each_situation_has_a_test() -> None:
    assert [row[0] for row in rows() if NAMED.findall(row[-1]) == []] == []
    assert [row[0] for row in rows() if row[0].isdigit()] == list("123456")


def test_each_outcome_of_a_delivery_is_on_the_page() -> None:
    outcomes = {each.outcome for each in DeliveryError.__subclasses__()} | OTHER_OUTCOMES
    on_the_page = {name for row in rows() for name in re.findall(r"^`(\w+)`$", row[1])}
    assert on_the_page == outcomes
