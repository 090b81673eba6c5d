"""The stand-ins themselves, as far as the other tests do not stand on them already."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import listens
from lib.local.standins.vercel import Vercel

ALL_THREE = """
import sys, time
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import Vercel
from tests.support import Connection
with Postgres() as postgres, PgBouncer(postgres) as pgbouncer:
    with Vercel({"DATABASE_URL": pgbouncer.url()}) as vercel:
        print(postgres.port, pgbouncer.port, vercel.port, flush=True)
        time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(pgbouncer: PgBouncer, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALL_THREE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert len(ports) == 3
        assert all(listens(port) for port in ports)
        parent.send_signal(how)
    give_up_at = time.monotonic() + 10
    while any(listens(port) for port in ports) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not any(listens(port) for port in ports)


def test_a_kept_folder_keeps_its_rows() -> None:
    folder = Path(f"/tmp/kept-{os.getpid()}")
    try:
        with Postgres(folder) as postgres, psycopg.connect(postgres.url()) as connection:
            connection.execute("CREATE TABLE kept (id INT)")
        with Postgres(folder) as postgres, psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_a_pgbouncer_that_crashes_is_started_again(
    postgres: Postgres, pgbouncer: PgBouncer
) -> None:
    with PgBouncer(postgres) as bouncer:
        (pid,) = bouncer.processes()
        os.kill(pid, signal.SIGKILL)
        give_up_at = time.monotonic() + 10
        while not _answers(bouncer) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        assert _answers(bouncer)
        assert bouncer.crashes == 1


def _answers(bouncer: PgBouncer) -> bool:
    try:
        psycopg.connect(bouncer.url()).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_function_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "modelriver.py").write_text("import nowhere\n")
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
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
