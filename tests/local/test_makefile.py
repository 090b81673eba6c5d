"""What `make` itself does, with the environment that runs the tests in place of `.venv`."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib.local.__main__ import COMMANDS
from lib.local.project import ROOT
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port

MAKE = ["make", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*MAKE, *arguments],
        cwd=ROOT,
        env={**PLAIN, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_names_every_command() -> None:
    said = make("help").stdout
    for name in COMMANDS:
        assert f"\n  make {name} " in said


def test_ctrl_c_ends_dev_without_an_error_of_makes(
    postgres: Postgres, database: str, console_port: int
) -> None:
    options = f"--port {free_port()} --modelriver-port {console_port}"
    with subprocess.Popen(
        [*MAKE, "dev", f"ARGS={options}"],
        cwd=ROOT,
        env={**PLAIN, "DATABASE_URL": postgres.url(database)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout
        assert next(line for line in server.stdout if "Ctrl-C" in line)
        os.killpg(server.pid, signal.SIGINT)  # as a terminal sends it: to all of them
        _, errors = server.communicate(timeout=30)
    assert errors == ""


def test_some_tests_alone_are_not_asked_for_full_coverage() -> None:
    done = make("test", "ARGS=tests/function/test_settings.py --numprocesses 0")
    assert (done.returncode, done.stderr) == (0, "")
    assert " passed" in done.stdout.splitlines()[-1]


def test_what_is_missing_is_said_in_the_last_line(tmp_path: Path) -> None:
    """A test that wants parts, which are nowhere to be found."""
    module = tmp_path / "test_wants.py"
    module.write_text(
        "from lib.local.standins.process import PartMissing\n"
        "from tests.support import missing\n"
        "def test_pooled():\n"
        "    missing(PartMissing('No PgBouncer: make parts'))\n"
    )
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    done = make(
        "test", f"ARGS={module} --rootdir {tmp_path} -c {ROOT}/pytest.ini --numprocesses 0", CI=""
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == (
        "Tests skipped for want of PgBouncer: 1. What brings them: make parts"
    )
