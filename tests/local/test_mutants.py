"""A little of what `make mutants` does, and what it goes by."""

import subprocess
import sys

from lib.local.project import ROOT
from lib.local.trials.mutants.bed import Bed
from lib.local.trials.mutants.mutation import mutants
from lib.local.trials.mutants.run import PURE, ROOMS, equivalents, gone

SOURCE = """LIMIT = 3


def check(size: int) -> None:
    if size > LIMIT:
        raise ValueError("large")
"""


def test_tables_conditions_and_statements_are_mutated() -> None:
    assert [(each.line, each.after) for each in mutants("check.py", SOURCE)] == [
        (1, "LIMIT = 4"),
        (1, "LIMIT = None"),
        (5, "if (size > LIMIT) and False:"),
        (5, "if (size > LIMIT) or True:"),
        (5, "if size >= LIMIT:"),
        (6, "pass"),
        (6, 'raise ValueError("XXlargeXX")'),
        (6, "raise ValueError(None)"),
    ]


def test_what_is_listed_and_is_no_mutant_any_more_is_told() -> None:
    made = {"check.py": mutants("check.py", SOURCE)}
    listed = [("check.py", "LIMIT = 3", after) for after in ("LIMIT = 4", "LIMIT = 5")]
    listed.append(("another.py", "LIMIT = 3", "LIMIT = 5"))
    assert gone(made, listed) == ["check.py: LIMIT = 3 => LIMIT = 5: 0 mutants are so"]


def test_what_is_listed_once_and_is_two_mutants_is_told() -> None:
    made = {"check.py": mutants("check.py", "a()\nb()\na()\n")}
    assert gone(made, [("check.py", "b()", "pass")]) == []
    assert gone(made, [("check.py", "a()", "pass")]) == ["check.py: a() => pass: 2 mutants are so"]


def test_a_last_return_of_nothing_is_not_left_out() -> None:
    source = "def first(items):\n    if not items:\n        return None\n    return None\n"
    assert [each.line for each in mutants("check.py", source) if each.after == "pass"] == [3]


def test_each_equivalent_mutant_has_a_reason_and_a_file() -> None:
    assert all(equivalents().values())
    assert {path for path, _, _ in equivalents()} <= set(ROOMS)


def test_a_file_is_changed_for_its_tests_alone() -> None:
    path, tests = "lib/settings.py", ["tests/function/test_settings.py"]
    source = (ROOT / path).read_text()
    with Bed() as bed:
        assert not bed.passes(tests, path, source.replace("2048", "2047"), 120)
        assert bed.passes(tests, path, source, 120), bed.output


def test_no_mutant_of_a_sample_survives() -> None:
    command = [sys.executable, "-m", "lib.local", "mutants", "pure", "--sample", "1"]
    done = subprocess.run(
        [*command, "--own-tests-only"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed = int(done.stdout.split()[0])
    assert 0 < killed <= len(PURE)
