"""The stand-in for Neon, by psycopg: what a deployment meets at the real one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from lib.local.commands import cli
from lib.local.commands.running import STANDIN_SECRET
from lib.local.project import ROOT
from lib.local.standins import process
from lib.local.standins.neon import Neon
from lib.local.standins.neon_proxy import Branch
from lib.local.standins.postgres import Postgres
from lib.local.until import until
from tests.support import SAID, make_dev

URL = re.compile(r"function +(\S+)")
DATABASE = "SELECT current_database()"


@pytest.fixture
def branch(neon: Neon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Branch]:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    made = Branch("of-a-test", neon.main.id)
    neon.add(made)
    yield made
    if made.id in neon.branches:
        neon.remove(made)


def ask(url: str, statement: str = DATABASE) -> object:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row and row[0]


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
@pytest.mark.parametrize("pooled", [False, True])
def test_both_ways_into_both_strings(
    neon: Neon, branch: Branch, negotiation: str, pooled: bool
) -> None:
    url = f"{neon.url(branch, pooled=pooled)}&sslnegotiation={negotiation}"
    assert ("-pooler." in url) is pooled
    assert ask(url) == branch.id
    assert ask(url, "SELECT length(repeat('x', 3000000))") == 3_000_000
    assert ask(neon.url(neon.main, pooled=pooled)) == neon.main.id


def test_how_the_readme_finds_out_whether_tls_may_begin_at_once(
    neon: Neon, branch: Branch, postgres: Postgres
) -> None:
    lines = (ROOT / ".github" / "workflows" / "README.md").read_text()
    (script,) = re.findall(r"`\.venv/bin/python -c '(import os, psycopg.+?)'`", lines)
    postgres_url = f"{postgres.url()}?sslmode=require"  # which has no TLS
    for url, says in ((neon.url(branch), ""), (postgres_url, "OperationalError")):
        command = [sys.executable, "-c", script]
        variables = {**os.environ, "DATABASE_URL": url}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert (done.returncode == 0, done.stdout) == (not says, "")
        assert says in done.stderr
        assert bool(says) == bool(done.stderr)


REFUSED = {
    "another password": ("npg_", "npg-", "password authentication failed"),
    "a branch that is not there": ("@ep-", "@no-", "endpoint could not be found"),
    "no TLS": (
        "sslmode=require&channel_binding=require",
        "sslmode=disable",
        "connection is insecure",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(neon: Neon, branch: Branch, name: str) -> None:
    old, new, said = REFUSED[name]
    with pytest.raises(psycopg.OperationalError, match=said):
        ask(neon.url(branch).replace(old, new))


def test_the_password_without_the_channel(neon: Neon, branch: Branch) -> None:
    assert ask(neon.url(branch).replace("binding=require", "binding=disable")) == branch.id


def test_a_cancel_request_finds_its_way(neon: Neon, branch: Branch) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'"
    with psycopg.connect(neon.url(branch)) as connection, ThreadPoolExecutor() as threads:
        running = threads.submit(connection.execute, "SELECT pg_sleep(30)")
        assert until(lambda: ask(neon.url(branch), sleeping) == 1)
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result(20)


def test_scale_to_zero(neon: Neon, branch: Branch) -> None:
    with psycopg.connect(neon.url(branch, pooled=True), prepare_threshold=None) as kept:
        branch.suspend()
        with pytest.raises(psycopg.OperationalError):
            kept.execute("SELECT 1")
    assert branch.suspended
    assert ask(neon.url(branch, pooled=True)) == branch.id  # which wakes it
    assert not branch.suspended


def test_an_idle_branch_suspends_by_itself(
    neon: Neon, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(neon.url(branch)) == branch.id
    monkeypatch.setattr(neon, "suspend_after", 0.01)
    assert until(lambda: branch.suspended)


def test_a_branch_is_a_copy_and_expires(neon: Neon, branch: Branch) -> None:
    with psycopg.connect(neon.url(branch), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    child = Branch("of-a-branch", branch.id, expires_at="2020-01-01T00:00:00Z")
    neon.add(child)
    assert ask(neon.url(child), "SELECT one FROM kept") == 1
    neon.expire()
    assert child.id not in neon.branches
    assert ask(neon.url(branch), "SELECT one FROM kept") == 1


def test_make_dev_on_it() -> None:
    """Its variables lead neonctl there, and what neonctl says leads psycopg there."""
    console = process.free_port()
    ports = (f"--port={process.free_port()}", f"--modelriver-port={console}")
    with make_dev("--neon", *ports) as server:
        said = SAID.pop(server.pid)
        shown = re.findall(r"export (\w+)='?([^'\n]*)'?\n", said)
        variables = cli.environment({**os.environ, **dict(shown)})
        project = ("--project-id", variables["NEON_PROJECT_ID"])
        create = ("branches", "create", "--name", "mine", *project)
        cli.run("neonctl", *create, env=variables)
        mine = cli.run("neonctl", "connection-string", "mine", *project, env=variables)
        deliver = [
            sys.executable,
            "-m",
            "lib.local",
            "send",
            "--expect-row",
            *URL.findall(said),
        ]
        signed = {
            **variables,
            "MODELRIVER_WEBHOOK_SECRET": STANDIN_SECRET,
            "MODELRIVER_CALLBACK_ORIGINS": f"http://127.0.0.1:{console}",
        }
        subprocess.run(deliver, env=signed, check=True, capture_output=True, timeout=60)
        count = "SELECT count(*) FROM ai_content"
        assert ask(f"{mine}&hostaddr=127.0.0.1", count) == 0
