"""`make parts`, with package managers that write down what they are asked, and bring it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.local.__main__ import main

STUB = """#!/bin/sh
echo "{name} $*" >> {folder}/calls
for word in "$@"; do
    case "$word" in {brings}) /bin/cp "$0" {folder}/$word;; esac
done
"""

type Parts = Callable[[], tuple[int, str, str]]


@pytest.fixture
def parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Parts:
    """Run the command where nothing is installed but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    monkeypatch.setattr("lib.local.standins.pgbouncer.SYSTEM_FOLDERS", ())
    monkeypatch.setattr(sys, "argv", ["lib.local", "parts"])
    (tmp_path / "env").symlink_to("/usr/bin/env")
    (tmp_path / "calls").touch()

    def run() -> tuple[int, str, str]:
        status = main()
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def put(folder: Path, name: str, brings: str = "none") -> str:
    stub = folder / name
    stub.write_text(STUB.format(name=name, folder=folder, brings=brings))
    stub.chmod(0o755)
    return str(stub)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def as_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("CI", raising=False)


def test_where_all_is_there_nothing_is_done(parts: Parts, tmp_path: Path) -> None:
    for name in ("pgbouncer", "chromium", "npm", "apt-get"):
        put(tmp_path, name)
    status, out, err = parts()
    assert (status, err, calls(tmp_path)) == (0, "", [])
    assert [line.split()[0] for line in out.splitlines()] == ["PgBouncer", "Node.js", "Chromium"]


def test_root_is_asked_nothing(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    put(tmp_path, "pgbouncer")
    put(tmp_path, "apt-get", brings="npm|chromium")
    assert parts()[0] == 0
    assert calls(tmp_path) == [
        "apt-get update -qq",
        "apt-get install -qq -y nodejs npm",
        "apt-get install -qq -y chromium",
    ]


def test_ci_is_asked_nothing_either(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ordinary_user(monkeypatch)
    monkeypatch.setenv("CI", "true")
    for name in ("apt-get", "npm", "chromium"):
        put(tmp_path, name)
    put(tmp_path, "sudo", brings="pgbouncer")
    assert parts()[0] == 0
    assert all(call.startswith("sudo -n ") for call in calls(tmp_path))


def test_an_ordinary_user_is_told_what_needs_root(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ordinary_user(monkeypatch)
    for name in ("apt-get", "sudo", "npm"):
        put(tmp_path, name)
    status, out, err = parts()
    said = "PgBouncer, Chromium: this needs root: sudo apt-get install pgbouncer chromium"
    assert (status, out, err) == (1, "", f"parts: {said}\n")
    assert calls(tmp_path) == []


def test_with_homebrew(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_ordinary_user(monkeypatch)
    put(tmp_path, "npm")
    put(tmp_path, "brew", brings="pgbouncer|chromium")
    assert parts()[0] == 0
    assert calls(tmp_path) == ["brew install --quiet pgbouncer", "brew install --quiet chromium"]


def test_where_neither_has_chromium_playwright_brings_its_own(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_ordinary_user(monkeypatch)
    monkeypatch.setattr(sys, "executable", put(tmp_path, "python"))
    put(tmp_path, "npm")
    status, _, err = parts()
    assert calls(tmp_path) == ["python -m playwright install chromium"]
    assert (status, err.count("\n")) == (1, 1)
    assert "PgBouncer, Chromium" in err
