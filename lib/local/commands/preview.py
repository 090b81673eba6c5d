"""Deployments by `neonctl` and `vercel`: previews with a database branch of their own, production.

If a step fails, what this very run made before it is taken away again, and nothing else: what was
made is known from the answer of the program that made it.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib.local.commands import build, cli, schema, send
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins.deliveries import PRESETS
from lib.local.standins.vercel import PATH

EXPIRES_AFTER = timedelta(days=14)
LINK = ROOT / ".vercel" / "project.json"
"""Where `vercel link` notes which project a checkout belongs to."""

_URL = re.compile(r'^\s*(?:"url": )?"?(https://[^\s"]+)"?,?$', re.MULTILINE)
"""Where the deployment is, alone on its line or in JSON: the CLI chooses by who it takes us for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--branch", required=True, help="the git branch")
    parser.add_argument("--delete", action="store_true", help="delete its database branch instead")


def run(arguments: argparse.Namespace) -> int:
    """Deploy and print the URL, or delete the branch. Raises Problem."""
    print((delete if arguments.delete else deploy)(arguments.branch, os.environ))
    return 0


def branch_name(git_branch: str) -> str:
    """Neon's branch for a git branch, named as Neon's own integration names it."""
    return f"preview/{git_branch}"


def deploy(git_branch: str, environment: Mapping[str, str]) -> str:
    """Make branch and deployment, and deliver an AI result through both. Returns the URL.

    Raises Problem, and leaves nothing behind.
    """
    neon, vercel = _Neon.of(git_branch, environment), _Vercel.of(environment)
    _needed(environment, "MODELRIVER_WEBHOOK_SECRET")
    with ExitStack() as undo:
        branch = neon.find()
        if branch is None:
            branch = neon.create()
            undo.callback(_take_away, neon.name, neon.delete, branch)
        direct, pooled = neon.url(branch), neon.url(branch, "--pooled")
        try:
            schema.apply(direct)
        except Problem as error:
            raise Problem(f"sql/schema.sql: {error}") from None
        url = vercel.deploy("preview", {"DATABASE_URL": pooled})
        undo.callback(_take_away, url, vercel.remove, url)
        _smoke(url, {**environment, "DATABASE_URL": pooled})
        undo.pop_all()
    return url


def deploy_production(environment: Mapping[str, str]) -> str:
    """Check that production's schema is there, deploy, and deliver an AI result. Returns the URL.

    Raises Problem.
    """
    vercel = _Vercel.of(environment)
    for name in ("DATABASE_URL_UNPOOLED", "DATABASE_URL", "MODELRIVER_WEBHOOK_SECRET"):
        _needed(environment, name)
    try:
        differences = schema.check(environment["DATABASE_URL_UNPOOLED"])
    except Problem as error:
        raise Problem(f"production's database: {error}") from None
    if differences:
        said = "; ".join(differences)
        raise Problem(f"production's database is not as sql/schema.sql says: {said}")
    url = vercel.deploy("production", {})
    try:
        _smoke(url, environment)
    except Problem as failed:
        raise Problem(f"{failed}; {url} is live, `vercel rollback URL` leads back") from None
    return url


def delete(git_branch: str, environment: Mapping[str, str]) -> str:
    """Delete the database branch; it is no fault if there is none. Returns what was done.

    Raises Problem.
    """
    neon = _Neon.of(git_branch, environment)
    branch = neon.find()
    if branch is None:
        return f"there is no branch {neon.name}"
    neon.delete(branch)
    return f"branch {neon.name} deleted"


@dataclass(frozen=True, slots=True)
class _Neon:
    """The one branch's doings, each by its id: not every name is taken everywhere."""

    name: str
    project: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, git_branch: str, environment: Mapping[str, str]) -> "_Neon":
        if not git_branch:
            raise Problem("say which git branch: BRANCH=my-change")
        project = _needed(environment, "NEON_PROJECT_ID")
        return cls(branch_name(git_branch), project, cli.environment(environment))

    def find(self) -> str | None:
        """The id, or None where Neon says that there is no such branch."""
        try:
            return str(json.loads(self._run("branches", "get", self.name, "--output=json"))["id"])
        except cli.Failed as failed:
            if f"Branch {self.name} not found." in str(failed):
                return None
            raise

    def create(self) -> str:
        expires = (datetime.now(UTC) + EXPIRES_AFTER).strftime("%Y-%m-%dT%H:%M:%SZ")
        options = ("--expires-at", expires, "--no-secrets", "--output=json")
        made = json.loads(self._run("branches", "create", f"--name={self.name}", *options))
        return str(made["branch"]["id"])

    def url(self, branch: str, *options: str) -> str:
        return self._run("connection-string", branch, *options)

    def delete(self, branch: str) -> None:
        self._run("branches", "delete", branch)

    def _run(self, *arguments: str) -> str:
        project = ("--project-id", self.project, "--no-analytics")
        return cli.run("neonctl", *arguments, *project, env=self.environment)


@dataclass(frozen=True, slots=True)
class _Vercel:
    """The one project's doings."""

    project: str
    team: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "_Vercel":
        """From the variables, or from `vercel link`: without either the CLI makes a new project."""
        linked: dict[str, str] = json.loads(LINK.read_text()) if LINK.exists() else {}
        project = environment.get("VERCEL_PROJECT_ID") or linked.get("projectId")
        team = environment.get("VERCEL_ORG_ID") or linked.get("orgId")
        if not project or not team:
            raise Problem(
                "which project of Vercel's? Run `vercel link`, or set VERCEL_ORG_ID and "
                "VERCEL_PROJECT_ID; nothing was made"
            )
        both = {"VERCEL_ORG_ID": team, "VERCEL_PROJECT_ID": project}
        return cls(project, team, cli.environment({**environment, **both}))

    def deploy(self, target: str, variables: Mapping[str, str]) -> str:
        """Build a copy and deploy what was built, so that what is deployed was tested.

        Built in the same folder each time, it is mostly the same bytes, which are there already.
        """
        env = {**self.environment, **variables}
        production = ["--prod"] if target == "production" else []
        with _own_folder(LOCAL / "deploy") as folder:
            build.copy_project(folder, link=False)
            self._run("pull", "--yes", f"--environment={target}", directory=folder)
            build.build(folder, *production, *self._scope, env=env)
            given = (option for name in variables for option in ("--env", name))
            prebuilt = ("deploy", "--prebuilt", "--yes", *production)
            said = self._run(*prebuilt, *given, directory=folder, env=env)
        found = _URL.search(said)
        if found is None:
            raise Problem("vercel deploy did not say where the deployment is")
        return found[1]

    def remove(self, url: str) -> None:
        self._run("remove", url, "--yes")

    @property
    def _scope(self) -> list[str]:
        return ["--scope", self.team] if self.team.startswith("team_") else []

    def _run(
        self, *arguments: str, directory: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        env = env or self.environment
        return cli.run("vercel", *arguments, *self._scope, env=env, directory=directory)


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that no other process uses meanwhile."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder


def _take_away(what: str, how: Callable[[str], None], which: str) -> None:
    try:
        how(which)
    except cli.Failed as failed:
        print(f"{what} is left behind: {failed}", file=sys.stderr)


def _needed(environment: Mapping[str, str], name: str) -> str:
    if value := environment.get(name):
        return value
    raise Problem(f"set {name}; nothing was made")


def _smoke(url: str, environment: Mapping[str, str]) -> None:
    try:
        send.send(f"{url}{PATH}", PRESETS["structured"], environment, expect_row=True)
    except Problem as error:
        raise Problem(f"the deployment's first delivery: {error}") from None
