"""What `vercel build` makes of this project: the very thing that lands on Vercel."""

import json
import shutil
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path

import pytest

from lib.local.commands import build, cli
from lib.local.commands.build import FUNCTION, MAX_MEGABYTES
from lib.local.database import Connection
from lib.local.problem import Problem
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.process import PartMissing
from lib.local.standins.vercel import Vercel
from tests.support import missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project that may be built."""
    try:
        cli.program("vercel")
        return build.copy_project(tmp_path_factory.mktemp("project"))
    except PartMissing as reason:
        missing(reason)


@pytest.fixture(scope="session")
def output(project: Path) -> Path:
    return build.build(project)


@pytest.fixture
def changed(project: Path, tmp_path: Path) -> Path:
    """Another copy, to be spoiled."""
    return build.copy_project(tmp_path / "changed")


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def problems(output: Path) -> list[str]:
    """In what a build's output is not what should be deployed."""
    function = output / FUNCTION
    if not function.is_dir():
        return ["no function"]
    found = []
    settings = json.loads((function / ".vc-config.json").read_text())
    expected = {"runtime": "python3.12", "memory": 1024, "maxDuration": 30}
    found += [f"{name} {settings[name]}" for name in expected if settings[name] != expected[name]]
    bundled = names(function)
    for needed in ("psycopg", "psycopg_binary", "psycopg_pool", "requests", "urllib3", "certifi"):
        if not any(name.startswith(f"_vendor/{needed}/") for name in bundled):
            found.append(f"without {needed}")
    for source in (path.relative_to(ROOT) for path in (ROOT / "lib").glob("*.py")):
        if str(source) not in bundled:
            found.append(f"without {source}")
    ours = {name for name in bundled if not name.startswith("_v")}
    allowed = ("api/", "lib/", ".vc-config.json", "vc__handler__python.py", "requirements.txt")
    found += [f"with {name}" for name in ours if not name.startswith(allowed)]
    found += [f"with {name}" for name in ours if name.startswith("lib/local/")]
    if not any(name.endswith(".pyc") and "webhook" in name for name in bundled):
        found.append("without bytecode")
    if build.megabytes(function) > MAX_MEGABYTES:
        found.append(f"{build.megabytes(function):.0f} MB")
    static = names(output / "static")
    if static != names(ROOT / "public"):
        found.append(f"static {sorted(static ^ names(ROOT / 'public'))}")
    return found


def test_what_lands_on_vercel_is_what_should(output: Path) -> None:
    assert problems(output) == []


def test_the_tests_run_on_the_runtime_that_is_bundled(output: Path) -> None:
    (bundled,) = (output / FUNCTION).rglob("vercel_runtime-*.dist-info")
    assert bundled.name == f"vercel_runtime-{version('vercel-runtime')}.dist-info"


def test_the_built_function_does_its_job(
    output: Path, modelriver: ModelRiver, pgbouncer: PgBouncer, database: str, rows: Connection
) -> None:
    settings = {**modelriver.settings, "DATABASE_URL": pgbouncer.url(database)}
    with Vercel(settings, built=output / FUNCTION) as vercel:
        payload = modelriver.event({"title": "built"}, channel_id=str(uuid.uuid4()))
        for _ in range(2):
            assert modelriver.deliver(vercel.url, modelriver.sign(payload)).status == 200
    (callback,) = modelriver.callbacks_for(str(payload["channel_id"]))
    assert callback.problems == ()
    assert len(rows.execute("SELECT FROM ai_content").fetchall()) == 1


def spoil(changed: Path, name: str, old: str, new: str) -> None:
    text = (changed / name).read_text()
    assert old in text
    (changed / name).write_text(text.replace(old, new))


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a forgotten dependency": (
        lambda p: spoil(p, "requirements.txt", "psycopg-pool==", "#"),
        "without psycopg_pool",
    ),
    "no public folder: sources are published": (
        lambda p: shutil.rmtree(p / "public"),
        "static",
    ),
    "tests in the bundle": (
        lambda p: spoil(p, "vercel.json", "tests/**,", ""),
        "with tests/",
    ),
    "the stand-ins in the bundle": (
        lambda p: spoil(p, "vercel.json", "lib/local/**,", ""),
        "with lib/local/",
    ),
    "another duration": (
        lambda p: spoil(p, "vercel.json", '"maxDuration": 30', '"maxDuration": 10'),
        "maxDuration 10",
    ),
    "no bytecode": (
        lambda p: spoil(p, "vercel.json", '"VERCEL_PYTHON_COMPILEALL": "1"', '"X": "1"'),
        "without bytecode",
    ),
    "a hidden file": (
        lambda p: spoil(p, "vercel.json", "{.*,.*/**,", "{"),
        "with .env.example",
    ),
}


def test_what_is_wrong_is_noticed(changed: Path) -> None:
    """All at once, since a build takes its time and each fault is told by itself."""
    for change, _ in SPOILT.values():
        change(changed)
    found = problems(build.build(changed))
    for name, (_, problem) in SPOILT.items():
        assert any(each.startswith(problem) for each in found), name


def test_a_handler_that_vercel_does_not_find_is_an_error(changed: Path) -> None:
    spoil(changed, "api/modelriver.py", "class handler(", "class Receiver(")
    with pytest.raises(Problem):
        build.build(changed)


def test_routes_and_headers(
    project: Path,
    tmp_path: Path,
    modelriver: ModelRiver,
    pgbouncer: PgBouncer,
    database: str,
    rows: Connection,
) -> None:
    """With `vercel dev`, which takes neither duration nor memory for Python."""
    copy = build.copy_project(tmp_path / "dev")
    config = json.loads((copy / "vercel.json").read_text())
    del config["functions"]
    (copy / "dev.json").write_text(json.dumps(config))
    shutil.rmtree(copy / ".vercel")  # a linked project would be looked up
    settings = {**modelriver.settings, "DATABASE_URL": pgbouncer.url(database)}
    (copy / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    port = process.free_port()
    server = process.start(
        [
            cli.program("vercel"),
            "dev",
            "--local",
            "--yes",
            "--listen",
            f"127.0.0.1:{port}",
            "-A",
            "dev.json",
        ],
        log=tmp_path / "dev.log",
        environment=cli.environment(),
        directory=copy,
    )
    try:
        process.wait_for(lambda: process.listens(port), "vercel dev", server, tmp_path / "dev.log")
        paths = ["/api/modelriver", "/webhooks/modelriver", "/api/webhooks/modelriver"]
        assert get(port, paths[0])[0] == 200  # for which it first installs what the function needs
        for path in paths:
            payload = modelriver.event({"title": path}, channel_id=str(uuid.uuid4()))
            url = f"http://127.0.0.1:{port}{path}"
            assert modelriver.deliver(url, modelriver.sign(payload)).status == 200
        stored = rows.execute("SELECT title FROM ai_content ORDER BY created_at").fetchall()
        assert [row["title"] for row in stored] == paths

        status, headers, body = get(port, "/")
        assert (status, b"ModelRiver" in body) == (200, True)
        for name in ("content-security-policy", "referrer-policy", "x-content-type-options"):
            assert headers[name]
        for source in (
            "/lib/webhook.py",
            "/sql/schema.sql",
            "/requirements.txt",
            "/tests/",
            "/.env",
        ):
            assert get(port, source)[0] == 404
    finally:
        process.stop_group(server)


def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", path)
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.headers.items()}
    answer = response.status, headers, response.read()
    connection.close()
    return answer
