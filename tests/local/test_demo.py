"""`make demo`, in a process of its own."""

import subprocess
import sys

import pytest

from lib.local.__main__ import main
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres


def run_demo() -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lib.local", "demo"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_ends_well_by_itself(postgres: Postgres) -> None:
    done = run_demo()
    assert done.returncode == 0, done.stderr
    assert "All came out as promised." in done.stdout
    assert "\x1b[" not in done.stdout  # nobody looks
    assert done.stderr == ""


def test_the_demo_says_what_did_not_come_out_as_promised(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ModelRiver, "callback_url", lambda *_: "https://evil.test/")
    monkeypatch.setattr(sys, "argv", ["lib.local", "demo"])
    assert main() == 1
    assert "expected 1 callbacks, not 0" in capsys.readouterr().err
