"""Previews and production, with stubs for `neonctl` and `vercel` that write down their arguments.

The database, and the function that is "deployed", are real.
"""

import json
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lib.local.commands import preview, schema
from lib.local.commands.preview import StepFailed
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.vercel import Vercel

STUB = """#!{python}
import json, os, pathlib, sys
program, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
folder = pathlib.Path(sys.argv[0]).parent
with open(folder / "calls", "a") as calls:
    print(json.dumps([program, *arguments]), file=calls)
branch, called = folder / "branch", " ".join([program, *arguments])
if "branches get" in called:
    sys.exit(0 if branch.exists() else 1)
failing = os.environ.get("STUB_FAILS")
if "branches create" in called:
    branch.touch()
if failing and called.startswith(failing):
    print("no use: " + os.environ.get("DATABASE_URL", ""), file=sys.stderr)
    sys.exit(7)
if "branches delete" in called:
    branch.unlink()
elif "connection-string" in called:
    print(os.environ["STUB_POOLED" if "--pooled" in arguments else "STUB_DIRECT"])
elif called.startswith("vercel deploy"):
    print("Deploying …", file=sys.stderr)
    if "--env" in arguments:
        (folder / "deployed_with").write_text(os.environ["DATABASE_URL"])
    print(os.environ["STUB_URL"])
elif called.startswith("vercel build"):
    assert os.environ["VERCEL_PYTHON_COMPILEALL"] == "1"
    assert pathlib.Path("api/modelriver.py").exists() and not pathlib.Path(".git").exists()
"""


@dataclass(frozen=True)
class Stubs:
    folder: Path
    environment: dict[str, str]

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    @property
    def branch_exists(self) -> bool:
        return (self.folder / "branch").exists()

    def called(self, *words: str) -> bool:
        return any(call[: len(words)] == list(words) for call in self.calls)


@pytest.fixture
def stubs(
    tmp_path: Path,
    postgres: Postgres,
    pgbouncer: PgBouncer,
    empty_database: str,
    modelriver: ModelRiver,
) -> Iterator[Stubs]:
    for name in ("neonctl", "vercel"):
        stub = tmp_path / name
        stub.write_text(STUB.replace("{python}", sys.executable))
        stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    pooled = pgbouncer.url(empty_database)
    with Vercel({**modelriver.settings, "DATABASE_URL": pooled}) as deployment:
        yield Stubs(
            tmp_path,
            {
                "PATH": f"{tmp_path}:/usr/bin:/bin",
                "MODELRIVER_WEBHOOK_SECRET": modelriver.secret,
                "STUB_DIRECT": postgres.url(empty_database),
                "STUB_POOLED": pooled,
                "STUB_URL": f"http://127.0.0.1:{deployment.port}",
            },
        )


def test_a_preview(stubs: Stubs, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview.deploy("my-change", stubs.environment) == stubs.environment["STUB_URL"]
    assert stubs.branch_exists
    assert (stubs.folder / "deployed_with").read_text() == stubs.environment["STUB_POOLED"]
    steps = [" ".join(call[:3]) for call in stubs.calls]
    assert steps == [
        "neonctl branches get",
        "neonctl branches create",
        "neonctl connection-string preview/my-change",
        "neonctl connection-string preview/my-change",
        "vercel pull --yes",
        "vercel build --yes",
        "vercel deploy --prebuilt",
    ]
    create = stubs.calls[1]
    assert create[create.index("--name") + 1] == "preview/my-change"
    assert "--expires-at" in create
    shown = json.dumps(stubs.calls) + capsys.readouterr().out
    assert "row " in shown
    for secret in ("STUB_DIRECT", "STUB_POOLED", "MODELRIVER_WEBHOOK_SECRET"):
        assert stubs.environment[secret] not in shown


def test_a_branch_that_exists_already_is_used(stubs: Stubs) -> None:
    (stubs.folder / "branch").touch()
    preview.deploy("my-change", stubs.environment)
    assert not stubs.called("neonctl", "branches", "create")


FAILING = [
    "neonctl branches create",
    "neonctl connection-string preview/my-change",
    "neonctl connection-string preview/my-change --pooled",
    "vercel pull",
    "vercel build",
    "vercel deploy",
]


@pytest.mark.parametrize("failing", FAILING)
@pytest.mark.parametrize("existed", [False, True])
def test_a_step_that_fails_leaves_nothing_behind(stubs: Stubs, failing: str, existed: bool) -> None:
    if existed:
        if failing.endswith("create"):
            return
        (stubs.folder / "branch").touch()
    with pytest.raises(StepFailed) as caught:
        preview.deploy("my-change", {**stubs.environment, "STUB_FAILS": failing})
    assert " ".join(failing.split()[:2]) in str(caught.value)
    assert "postgresql://" not in str(caught.value)
    assert stubs.branch_exists is existed
    assert not stubs.called("vercel", "remove")


def test_a_schema_that_does_not_apply(stubs: Stubs) -> None:
    nowhere = {**stubs.environment, "STUB_DIRECT": "postgresql://u@127.0.0.1:1/d"}
    with pytest.raises(StepFailed, match=r"sql/schema\.sql"):
        preview.deploy("my-change", nowhere)
    assert not stubs.branch_exists


def test_a_deployment_that_does_not_do_its_job_is_removed(stubs: Stubs) -> None:
    wrong = {**stubs.environment, "MODELRIVER_WEBHOOK_SECRET": "another"}
    with pytest.raises(StepFailed, match="first delivery: no row"):
        preview.deploy("my-change", wrong)
    assert not stubs.branch_exists
    assert stubs.called("vercel", "remove", stubs.environment["STUB_URL"])


def test_the_branch_is_deleted_once(stubs: Stubs) -> None:
    (stubs.folder / "branch").touch()
    preview.delete("my-change", stubs.environment)
    assert not stubs.branch_exists
    preview.delete("my-change", stubs.environment)
    assert sum(call[1:3] == ["branches", "delete"] for call in stubs.calls) == 1


def test_production(stubs: Stubs, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        **stubs.environment,
        "DATABASE_URL": stubs.environment["STUB_POOLED"],
        "DATABASE_URL_UNPOOLED": stubs.environment["STUB_DIRECT"],
    }
    with pytest.raises(StepFailed, match="there is no table ai_content"):
        preview.deploy_production(environment)
    assert not (stubs.folder / "calls").exists()

    schema.apply(environment["DATABASE_URL_UNPOOLED"])
    assert preview.deploy_production(environment) == stubs.environment["STUB_URL"]
    assert ["--prod" in call for call in stubs.calls] == [False, True, True]
    assert not stubs.called("neonctl")
    assert "removed again" in capsys.readouterr().out


def test_programs_that_are_not_there(stubs: Stubs) -> None:
    with pytest.raises(PartMissing, match="npm install --global neonctl"):
        preview.deploy("my-change", {**stubs.environment, "PATH": "/nowhere"})
