"""The stand-ins themselves, as far as the other tests do not stand on them already."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from lib.local.__main__ import main
from lib.local.modelriver import ModelRiver
from lib.local.postgres import PgBouncer, Postgres
from lib.local.process import free_port, listens
from lib.local.vercel import Vercel
from tests.conftest import Connection

ALL_THREE = """
import sys, time
from lib.local.postgres import PgBouncer, Postgres
from lib.local.vercel import Vercel
from tests.conftest import Connection
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


def test_dev_serves_and_starts_anew_when_a_file_changes(
    postgres: Postgres, database: str, modelriver: ModelRiver
) -> None:
    port, modelriver_port = free_port(), free_port()
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port)]
    with subprocess.Popen(
        [sys.executable, "-m", "lib.local", "dev", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DATABASE_URL": postgres.url(database)},
    ) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        assert next(line for line in lines if "make send" in line)
        url = f"http://127.0.0.1:{port}/api/modelriver"
        delivery = modelriver.sign(modelriver.event({"title": "dev"}, callback_url="elsewhere"))
        assert modelriver.deliver(url, delivery).status == 200
        assert "callback_refused" in next(line for line in lines if line.startswith("{"))
        content = Path(__file__).parents[1] / "lib" / "content.py"
        os.utime(content)
        assert "started anew" in next(line for line in lines if line.startswith("started"))
        assert modelriver.deliver(url, delivery).status == 200

        taken = [sys.executable, "-m", "lib.local", "dev", *options]
        second = subprocess.run(taken, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert (
            second.stderr
            == f"dev: port {port} is taken: stop what listens there, or choose another\n"
        )
        server.send_signal(signal.SIGINT)
    assert server.returncode == 130
    assert not listens(port)


def test_status(
    postgres: Postgres,
    database: str,
    rows: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.url(database))

    def status(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lib.local", "status", *options])
        return main(), capsys.readouterr().out

    assert status() == (0, status()[1])
    assert "not called back        none" in status()[1]
    rows.execute(
        "INSERT INTO ai_content"
        " (title, channel_id, callback_url, created_at, called_back_at, callback_error)"
        " VALUES ('a', 'a', 'u', now() - interval '2 hours', now() - interval '2 hours', NULL),"
        " ('b', 'b', 'u', now() - interval '10 seconds', now() - interval '8 seconds', NULL),"
        " ('c', 'c', 'u', now() - interval '60 seconds', NULL, 'callback_unavailable: HTTP 500'),"
        # from before this receiver, and so old that ModelRiver keeps nothing of it any more
        " ('d', 'd', NULL, now() - interval '2 days', NULL, NULL),"
        " ('e', 'e', 'u', now() - interval '31 days', NULL, NULL)"
    )
    code, text = status("--json")
    state = json.loads(text)
    (waiting,) = state.pop("not_called_back")
    assert code == 0
    assert state == {
        "rows_last_hour": 2,
        "rows_last_day": 3,
        "called_back_last_day": 2,
        "median_seconds": 1.0,
        "p95_seconds": 1.9,
        "not_called_back_count": 1,
        "overdue": False,
    }
    assert waiting["reason"] == "callback_unavailable: HTTP 500"
    rows.execute(
        "UPDATE ai_content SET created_at = now() - interval '6 minutes' WHERE title = 'c'"
    )
    code, text = status()
    assert code == 1
    assert re.search(r"6 min  \S+  callback_unavailable: HTTP 500", text)
    rows.execute(
        "INSERT INTO ai_content (title, channel_id, callback_url, created_at)"
        " SELECT 'f', n, 'u', now() - interval '2 days' FROM generate_series(1, 30) AS n"
    )
    code, text = status()
    assert code == 1
    assert "not called back        31" in text
    assert "2 d  " in text.splitlines()[6]  # the oldest first
    assert "and 11 younger ones" in text

    monkeypatch.setenv("DATABASE_URL", "postgresql://u:dbsecret@127.0.0.1:1/d")
    monkeypatch.setattr(sys, "argv", ["lib.local", "status"])
    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("status: 127.0.0.1:1/d: ")
    assert "dbsecret" not in line
