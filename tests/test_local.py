"""The stand-ins themselves, as far as the other tests do not stand on them already."""

import os
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
from lib.local.process import listens
from lib.local.vercel import Vercel

ALL_THREE = """
import sys, time
from lib.local.postgres import PgBouncer, Postgres
from lib.local.vercel import Vercel
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


def test_the_schema_command(
    postgres: Postgres,
    empty_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["lib.local", "schema"])
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", postgres.url(empty_database))
    assert main() == 0
    monkeypatch.setenv("DATABASE_URL_UNPOOLED", postgres.url("nowhere"))
    assert main() == 1
    assert '"nowhere" does not exist' in capsys.readouterr().err
    monkeypatch.delenv("DATABASE_URL_UNPOOLED")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main() == 1
    assert "DATABASE_URL_UNPOOLED" in capsys.readouterr().err
