"""Previews and production, by the real `neonctl` and `vercel` against stand-ins of both platforms.

What counts is what the platforms hold afterwards: branches, rows and deployments.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lib.local.commands import cli
from lib.local.project import ROOT
from lib.local.standins.api import Refused
from lib.local.standins.neon_proxy import Branch
from lib.local.standins.postgres import SCHEMA
from lib.local.standins.vercel_api import PROJECT, TEAM
from tests.deploy.conftest import Platforms, check_out

AWKWARD = "dependabot/npm/@types/node-20#ü".ljust(200, "x")
"""A git branch's name."""
ROWS = "SELECT title FROM ai_content"
MY_CHANGE = ("preview", "--branch", "my-change")


@pytest.fixture
def applied(unspoilt: Platforms) -> Platforms:
    """The platforms, with the schema and one row in production."""
    unspoilt.execute(unspoilt.neon.main, SCHEMA.read_text())
    unspoilt.execute(unspoilt.neon.main, "DELETE FROM ai_content")
    unspoilt.execute(unspoilt.neon.main, "INSERT INTO ai_content (title) VALUES ('kept')")
    return unspoilt


@pytest.fixture
def existing(applied: Platforms) -> Iterator[Branch]:
    """A preview's branch that was there before, with a row of its own."""
    branch = Branch("preview/my-change", applied.neon.main.id)
    applied.neon.add(branch)
    applied.execute(branch, "INSERT INTO ai_content (title) VALUES ('of the branch')")
    yield branch
    applied.neon.remove(branch)


def test_a_preview_its_next_push_and_its_end(applied: Platforms, checkout: Path) -> None:
    named = ("preview", "--branch", AWKWARD)
    first = applied.make(checkout, *named)
    assert first.returncode == 0, first.stderr
    branch = applied.neon.named(f"preview/{AWKWARD}")
    assert branch
    assert branch.expires_at
    left = datetime.fromisoformat(branch.expires_at) - datetime.now(UTC)
    assert timedelta(days=13) < left <= timedelta(days=14)
    (deployment,) = applied.vercel.deployments.values()
    assert first.stdout.splitlines()[-1] == f"https://{deployment.host}"
    assert deployment.settings["DATABASE_URL"] == applied.neon.url(branch, pooled=True)
    assert deployment.target == "preview"
    assert re.search(r"^row .*, removed again$", first.stdout, re.MULTILINE)
    assert applied.execute(branch, ROWS) == [("kept",)]  # the parent's; the delivery's is gone

    uploaded = len(applied.vercel.api.asked("POST /v2/files"))
    second = applied.make(checkout, *named)
    assert second.returncode == 0, second.stderr
    assert applied.neon.named(f"preview/{AWKWARD}") is branch
    assert len(applied.vercel.deployments) == 2
    # What says when and how long it was built differs; the function's files do not.
    assert len(applied.vercel.api.asked("POST /v2/files")) < uploaded + 5

    cleanup = applied.make(checkout, *named, "--delete")
    assert (cleanup.returncode, applied.neon.named(f"preview/{AWKWARD}")) == (0, None)
    again = applied.make(checkout, *named, "--delete")
    assert (again.returncode, again.stdout) == (0, f"there is no branch preview/{AWKWARD}\n")
    assert applied.execute(applied.neon.main, ROWS) == [("kept",)]
    said = "".join(each.stdout + each.stderr for each in (first, second, cleanup, again))
    secrets = (applied.neon.password, applied.neon.key, applied.vercel.token)
    for secret in (*secrets, applied.modelriver.secret, applied.modelriver.api_key):
        assert secret not in said


def test_a_deployment_that_vercel_refuses(
    applied: Platforms, existing: Branch, checkout: Path
) -> None:
    applied.vercel.api.faults["POST /v13/deployments"] = Refused(402, "Build limit exceeded")
    assert_refused(applied, checkout, {}, "vercel deploy --prebuilt: ")
    assert applied.execute(existing, ROWS) == [("kept",), ("of the branch",)]


def test_production(unspoilt: Platforms, checkout: Path) -> None:
    unspoilt.execute(unspoilt.neon.main, "DROP TABLE IF EXISTS ai_content")
    pooled = unspoilt.neon.url(unspoilt.neon.main, pooled=True)
    unspoilt.vercel.settings["production"]["DATABASE_URL"] = pooled
    urls = {"DATABASE_URL": pooled, "DATABASE_URL_UNPOOLED": unspoilt.neon.url(unspoilt.neon.main)}
    before = unspoilt.holds()
    bare = unspoilt.make(checkout, "production", **urls)
    assert (bare.returncode, unspoilt.holds()) == (1, before)
    assert "there is no table ai_content" in bare.stderr

    unspoilt.execute(unspoilt.neon.main, SCHEMA.read_text())
    done = unspoilt.make(checkout, "production", **urls)
    assert done.returncode == 0, done.stderr
    deployment = [*unspoilt.vercel.deployments.values()][-1]
    assert deployment.target == "production"
    assert done.stdout.splitlines()[-1] == f"https://{deployment.host}"
    assert unspoilt.execute(unspoilt.neon.main, ROWS) == []


@pytest.fixture
def linked(checkout: Path) -> Iterator[Path]:
    """The checkout, as `vercel link` links it."""
    link = checkout / ".vercel" / "project.json"
    link.parent.mkdir()
    link.write_text(json.dumps({"projectId": PROJECT, "orgId": TEAM}))
    yield checkout
    shutil.rmtree(link.parent)


def test_a_deployment_that_does_not_do_its_job_is_removed(applied: Platforms, linked: Path) -> None:
    changed = {"VERCEL_ORG_ID": "", "VERCEL_PROJECT_ID": "", "MODELRIVER_WEBHOOK_SECRET": "another"}
    before = applied.holds()
    done = applied.make(linked, *MY_CHANGE, **changed)
    assert (done.returncode, applied.holds()) == (1, before)
    assert re.fullmatch(r"preview: the deployment's first delivery: .* answered 401\n", done.stderr)
    assert applied.vercel.api.asked("POST /v13/deployments")
    assert applied.vercel.api.asked("DELETE .*")
    assert applied.neon.api.asked("DELETE .*")


BRANCHES = "/projects/[^/]+/branches"
FAULTS: dict[str, tuple[dict[str, Refused], dict[str, str], str]] = {
    "Neon does not answer": (
        {f"GET {BRANCHES}.*": Refused()},
        {},
        "neonctl branches get: Service unavailable",
    ),
    "Neon does not answer just now": (
        {f"GET {BRANCHES}": Refused(once=True)},
        {},
        "neonctl branches get: Service unavailable",
    ),
    "Neon is out of reach": (
        {},
        {"NEON_API_HOST": "http://127.0.0.1:9/api/v2"},
        "neonctl branches get: Could not reach the Neon API.",
    ),
    "no key": ({}, {"NEON_API_KEY": ""}, "set NEON_API_KEY, or sign in"),
    "an expired key": ({}, {"NEON_API_KEY": "old"}, "the Neon API rejected the API key"),
    "no project": ({}, {"NEON_PROJECT_ID": ""}, "set NEON_PROJECT_ID; nothing was made"),
    "another project": ({}, {"NEON_PROJECT_ID": "none"}, "is NEON_PROJECT_ID"),
    "no secret": ({}, {"MODELRIVER_WEBHOOK_SECRET": ""}, "set MODELRIVER_WEBHOOK_SECRET"),
    "not linked": ({}, {"VERCEL_PROJECT_ID": ""}, "VERCEL_PROJECT_ID; nothing was made"),
    "another project of Vercel's": ({}, {"VERCEL_PROJECT_ID": "prj"}, "Project not found"),
    "an expired token": ({}, {"VERCEL_TOKEN": "old"}, "vercel pull --yes: "),
    "Vercel does not answer": ({}, {"XDG_DATA_HOME": "nowhere"}, "vercel pull --yes: "),
}
"""What fails with a branch that was there before: the fault, the variables, and what is said."""


@pytest.mark.parametrize("name", FAULTS)
def test_what_was_there_stays(
    applied: Platforms, existing: Branch, checkout: Path, tmp_path: Path, name: str
) -> None:
    faults, changed, said = FAULTS[name]
    if "XDG_DATA_HOME" in changed:
        config = tmp_path / "com.vercel.cli" / "config.json"
        config.parent.mkdir()
        config.write_text('{"api": "http://127.0.0.1:9"}')
        changed = {"XDG_DATA_HOME": str(tmp_path)}
    applied.neon.api.faults |= faults
    assert_refused(applied, checkout, changed, said)
    assert applied.execute(existing, ROWS) == [("kept",), ("of the branch",)]


LATE_FAULTS: dict[str, tuple[dict[str, Refused], dict[str, str], str]] = {
    "the quota is reached": (
        {f"POST {BRANCHES}": Refused(422, "branches limit exceeded")},
        {},
        "neonctl branches create: branches limit exceeded; delete what is not needed",
    ),
    "the name is refused": (
        {f"POST {BRANCHES}": Refused(400, "branch name is invalid")},
        {},
        "neonctl branches create: branch name is invalid",
    ),
    "no connection string": (
        {f"GET {BRANCHES}/.*/reveal_password": Refused()},
        {},
        "neonctl connection-string br-",
    ),
}
"""The same without a branch before."""


@pytest.mark.parametrize("name", LATE_FAULTS)
def test_what_was_made_is_taken_away(applied: Platforms, checkout: Path, name: str) -> None:
    faults, changed, said = LATE_FAULTS[name]
    applied.neon.api.faults |= faults
    assert_refused(applied, checkout, changed, said)


SPOILT = {
    "sql/schema.sql": ("CREATE TABLE", "MAKE TABLE", "syntax error at or near"),
    "vercel.json": ('"api/modelriver.py": {', '"api/none.py": {', "vercel build --yes: "),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_checkout_that_cannot_be_deployed(applied: Platforms, tmp_path: Path, name: str) -> None:
    spoilt = check_out(tmp_path / "spoilt")
    old, new, said = SPOILT[name]
    text = (spoilt / name).read_text()
    assert old in text
    (spoilt / name).write_text(text.replace(old, new, 1))
    assert_refused(applied, spoilt, {}, said)


def test_what_cannot_be_taken_away_is_named(applied: Platforms, checkout: Path) -> None:
    faults = {f"GET {BRANCHES}/.*/reveal_password": Refused(), f"DELETE {BRANCHES}/.*": Refused()}
    applied.neon.api.faults |= faults
    done = applied.make(checkout, *MY_CHANGE)
    assert done.returncode == 1
    left, failed = done.stderr.splitlines()
    assert left.startswith("preview/my-change is left behind: neonctl branches delete: Service")
    assert failed.startswith("preview: neonctl connection-string br-")
    branch = applied.neon.named("preview/my-change")
    assert branch
    applied.neon.remove(branch)


def test_a_cleanup_that_cannot_look_fails(
    applied: Platforms, existing: Branch, checkout: Path
) -> None:
    applied.neon.api.faults[f"GET {BRANCHES}.*"] = Refused()
    done = applied.make(checkout, *MY_CHANGE, "--delete")
    assert (done.returncode, done.stdout) == (1, "")
    assert "neonctl branches get: Service unavailable" in done.stderr
    assert applied.execute(existing, ROWS) == [("kept",), ("of the branch",)]


def assert_refused(
    platforms: Platforms, checkout: Path, changed: dict[str, str], said: str
) -> None:
    """One line says why, and all is as before."""
    before = platforms.holds()
    done = platforms.make(checkout, *MY_CHANGE, **changed)
    assert (done.returncode, done.stdout, platforms.holds()) == (1, "", before)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "postgresql://neondb" not in done.stderr


def test_what_the_readme_says_of_neonctl(unspoilt: Platforms) -> None:
    lines = (ROOT / ".github" / "workflows" / "README.md").read_text().splitlines()
    shown = [line for line in lines if re.match(r"(export .*\()?neonctl ", line)]
    assert len(shown) == 3
    path = f"{cli.program('neonctl').parent}:{unspoilt.environment['PATH']}"
    before = unspoilt.holds()
    script = "\n".join([*shown[:2], 'echo "$DATABASE_URL"', *shown[2:]])
    done = subprocess.run(
        ["bash", "-euc", script],
        env={**unspoilt.environment, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    (created,) = unspoilt.neon.api.asked("POST .*")
    assert created.json["branch"] == {
        "name": "preview/my-change",
        "parent_id": unspoilt.neon.main.id,
    }
    assert "-pooler." in done.stdout
    assert unspoilt.holds() == before
