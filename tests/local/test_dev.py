"""`make dev`, as far as the console's tests do not stand on it already."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.local.commands import running
from lib.local.commands.running import Running
from lib.local.project import ROOT
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port, listens
from lib.local.until import until
from tests.support import SAID, make_dev


def test_dev_serves_and_starts_anew_when_a_file_changes(
    postgres: Postgres, database: str, modelriver: ModelRiver, console_port: int
) -> None:
    port, modelriver_port = free_port(), console_port
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
        os.utime(ROOT / "lib" / "content.py")
        assert "started anew" in next(line for line in lines if line.startswith("started"))
        assert modelriver.deliver(url, delivery).status == 200

        taken = [sys.executable, "-m", "lib.local", "dev", *options]
        second = subprocess.run(taken, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        said = f"port {port} is taken: stop what listens there, or choose another with --port"
        assert second.stderr == f"dev: {said}\n"
        server.send_signal(signal.SIGINT)
    assert server.returncode == 0
    assert not listens(port)


REAL = {
    "MODELRIVER_WEBHOOK_SECRET": "whsec_live_new whsec_live_old",
    "MODELRIVER_API_KEY": "mr_live_key",
    "MODELRIVER_CALLBACK_ORIGINS": "",
}
"""As a developer has them, but for ModelRiver's own address."""


@pytest.fixture
def options(console_port: int) -> list[str]:
    return ["--port", str(free_port()), "--modelriver-port", str(console_port)]


def clean(**variables: str) -> dict[str, str]:
    """The shell without what the project reads, but for `variables`."""
    ours = ("DATABASE", "MODELRIVER", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | (
        variables
    )


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "lib.local", *arguments],
        cwd=ROOT,
        env=clean(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def deliveries(console: str) -> Any:
    """What the page would be told first."""
    with urllib.request.urlopen(f"{console}/events", timeout=30) as stream:
        return json.loads(stream.readline().removeprefix(b"data: "))["deliveries"]


def seen(console: str, condition: Callable[[Any], bool]) -> Any:
    """The newest delivery once `condition` holds of it."""

    def newest() -> Any:
        found = [each for each in deliveries(console)[-1:] if condition(each)]
        return found[0] if found else None

    found = until(newest, 30, every=0.1)
    assert found, deliveries(console)
    return found


def test_with_the_real_modelriver(postgres: Postgres, database: str, options: list[str]) -> None:
    """Another stand-in plays the real one: its secret, its key, its origin, its deliveries."""
    with ModelRiver("whsec_live_old", "mr_live_key") as real:
        variables = {**REAL, "MODELRIVER_CALLBACK_ORIGINS": real.origin}
        environment = clean(DATABASE_URL=postgres.url(database), **variables)
        with make_dev(*options, "--live", environment=environment) as server:
            console = f"http://127.0.0.1:{options[3]}"
            url = f"http://127.0.0.1:{options[1]}/webhook"
            delivery = real.sign(real.event({"title": "from ModelRiver"}))
            assert real.deliver(url, delivery).status == 200
            (callback,) = real.callbacks
            assert callback.problems == ()
            arrived = seen(console, lambda each: each["person"] == "shown")
            assert (arrived["title"], arrived["is_ours"]) == ("from ModelRiver", False)

            sent = run("send", **variables)
            assert (sent.returncode, sent.stderr) == (0, "")
            own = seen(console, lambda each: each["event"] == "smoke_test" and each["record"])
            assert own["person"] == "shown"
            assert len(real.callbacks) == 1
            assert sent.stdout.splitlines()[-1] == f"console  {console}/#{own['channel']}"
            with urllib.request.urlopen(f"{console}/deliveries/{own['number']}", timeout=30) as got:
                shown = got.read().decode()
            assert server.stdout
        said = SAID.pop(server.pid)
        for secret in ("whsec_live", "mr_live_key"):
            assert secret not in shown + said


def test_what_live_lacks_is_said_in_one_line(options: list[str]) -> None:
    for missing in ("MODELRIVER_WEBHOOK_SECRET", "MODELRIVER_API_KEY"):
        done = run("dev", "--live", *options, **{**REAL, missing: ""})
        expected = f"dev: --live goes by the shell and .env, but {missing} is missing\n"
        assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"DATABASE_URL": "bogus"}, "DATABASE_URL is not a postgresql:// URL"),
        (
            {"DATABASE_URL": "postgresql://h/d", "DATABASE_URL_UNPOOLED": "bogus"},
            "DATABASE_URL_UNPOOLED is not a postgresql:// URL",
        ),
        (
            {"MODELRIVER_WEBHOOK_SECRET": "'whsec'"},
            "MODELRIVER_WEBHOOK_SECRET is still in quotes",
        ),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    options: list[str], variables: dict[str, str], line: str
) -> None:
    done = run("dev", *options, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"dev: {line}\n")


def test_nothing_runs_that_could_be_sent_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "FOLDER", tmp_path)
    assert Running.now() is None
    here = Running("http://127.0.0.1:1/", "http://127.0.0.1:2", has_own_secret=True)
    with monkeypatch.context() as patch:
        patch.setattr(running, "listens", lambda _: True)
        with here.announced():
            assert Running.now() == here
            (tmp_path / "2" / "running.json").write_text("half")
            assert Running.now() is None


@pytest.fixture
def project() -> Iterator[Path]:
    """A clone below a folder that is closed to others, made under a umask that closes all."""
    closed = Path(tempfile.mkdtemp(prefix="closed-", dir="/tmp"))
    folder = closed / "project"
    ignored = shutil.ignore_patterns(".*", "tests", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=ignored)
    yield folder
    shutil.rmtree(closed)
    shutil.rmtree(rows_outside(folder), ignore_errors=True)


def rows_outside(project: Path) -> Path:
    """Where a project's rows are kept if Postgres, as another user, cannot get into it."""
    return Path(f"/var/tmp/modelriver-{hashlib.sha256(str(project).encode()).hexdigest()[:8]}")


def test_where_a_newcomer_may_start_it(project: Path, options: list[str], tmp_path: Path) -> None:
    """A closed home, umask 077, another project's libpq variables, a TMPDIR of 100 letters."""
    long = tmp_path / ("t" * 100)
    long.mkdir()
    foreign = {"PGSSLMODE": "verify-full", "PGHOSTADDR": "192.0.2.1", "PGOPTIONS": "-c x.y=z"}
    environment = clean(TMPDIR=str(long), PYTHONIOENCODING="ascii", LANG="C", **foreign)
    neon = "postgresql://u:dbsecret@ep-x.neon.tech/d"
    before = os.umask(0o077)
    try:
        said = []
        for _ in range(2):
            with make_dev(
                *options, directory=project, environment={**environment, "DATABASE_URL": neon}
            ) as server:
                assert deliver(options, "closed") == 200
            said.append(SAID.pop(server.pid))
    finally:
        os.umask(before)
    assert "ep-x.neon.tech/d is not on this machine, and is left alone: --remote uses it" in said[0]
    assert "dbsecret" not in said[0]
    exported = [[line for line in each.splitlines() if "export " in line] for each in said]
    assert len(exported[0]) == 2
    assert exported[0] == exported[1]  # so that pasted lines stay true


def test_an_embedded_postgres_that_dies_is_started_again(project: Path, options: list[str]) -> None:
    with make_dev(*options, directory=project, environment=clean()) as server:
        assert server.stdout
        folders = [rows_outside(project), project / ".local" / "postgres"]
        files = [each / "data" / "postmaster.pid" for each in folders]
        (process_id,) = [int(each.read_text().split()[0]) for each in files if each.exists()]
        os.kill(process_id, signal.SIGKILL)
        assert any("Postgres ended, and was started again" in line for line in server.stdout)
        assert until(lambda: deliver(options, "again") == 200, 30, every=0.5)


def deliver(options: list[str], title: str) -> int:
    """The status that a delivery is answered with, which the stand-in of `make dev` signed."""
    url = f"http://127.0.0.1:{options[3]}/v1/callback/{title}"
    with ModelRiver("whsec-local") as river:
        made = river.sign(river.event({"title": title}, channel_id=title, callback_url=url))
        return river.deliver(f"http://127.0.0.1:{options[1]}/webhook", made).status
