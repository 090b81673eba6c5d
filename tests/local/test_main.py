"""The commands themselves: what they load, what they offer, how they end."""

import argparse
import subprocess
import sys
from importlib import import_module

import pytest

from lib.local import __main__ as cli
from lib.local.commands import send
from lib.local.problem import Problem
from lib.local.project import ROOT

SLOW = {
    "psycopg",
    "requests",
    "playwright",
    "lib.local.console",
    "lib.local.trials",
    "lib.database",
}
LOADED = """
import sys
from lib.local.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["send", "--help"]], ids=" ".join)
def test_what_help_need_not_wait_for_is_not_loaded(arguments: list[str]) -> None:
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage: " in done.stdout
    assert SLOW.isdisjoint(done.stderr.splitlines()[0].split())


def test_the_command_that_is_called_is_the_only_one_that_is_loaded() -> None:
    command = [sys.executable, "-c", LOADED, "status", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stderr.split() if name.startswith("lib.local.commands.")}
    assert loaded == {"lib.local.commands.status", "lib.local.commands.progress"}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_every_command_is_explained(name: str) -> None:
    parser = argparse.ArgumentParser()
    module = import_module(f"lib.local.commands.{name.replace('-', '_')}")
    module.add_arguments(parser)
    assert [action.dest for action in parser._actions if not action.help] == []  # noqa: SLF001
    assert callable(module.run)


def call(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> int:
    """The status of a command in which this is raised."""

    def run(_: argparse.Namespace) -> int:
        if error:
            raise error
        return 7

    monkeypatch.setattr(send, "run", run)
    monkeypatch.setattr(sys, "argv", ["lib.local", "send", "http://127.0.0.1:1/"])
    return cli.main()


def test_a_problem_ends_a_command_with_one_line_and_a_bug_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch) == 7
    assert call(monkeypatch, Problem("what is wrong")) == 1
    assert capsys.readouterr() == ("", "send: what is wrong\n")
    assert call(monkeypatch, KeyboardInterrupt()) == 130
    with pytest.raises(RuntimeError):
        call(monkeypatch, RuntimeError("a bug"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["chaos", "--seconds", "0"],
        ["chaos", "--rate", "nan"],
        ["bench", "--rounds", "-1"],
        ["soak", "--deliveries", "1.5"],
        ["dev", "--port", "80000"],
        ["dev", "--modelriver-port", "no"],
    ],
    ids=" ".join,
)
def test_arguments_that_are_none(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["lib.local", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--help says more" in said
