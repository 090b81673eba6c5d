"""What is done at Neon and at Vercel, by `neonctl` and `vercel`, and tried out afterwards."""

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib.local.commands import build, cli, send
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins.deliveries import PRESETS
from lib.local.standins.vercel import PATH

EXPIRES_AFTER = timedelta(days=14)
LINK = ROOT / ".vercel" / "project.json"
"""Where `vercel link` notes which project a checkout belongs to."""

_URL = re.compile(r'^\s*(?:"url": )?"?(https://[^\s"]+)"?,?$', re.MULTILINE)
"""Where the deployment is, alone on its line or in JSON: the CLI chooses by who it takes us for."""


@dataclass(frozen=True, slots=True)
class NeonBranch:
    """The doings of a git branch's branch, each by its id: not every name is taken everywhere."""

    name: str
    project: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, git_branch: str, environment: Mapping[str, str]) -> "NeonBranch":
        """Named as Neon's own integration names it. Raises Problem."""
        if not git_branch:
            raise Problem("say which git branch: BRANCH=my-change")
        project = needed(environment, "NEON_PROJECT_ID")
        return cls(f"preview/{git_branch}", project, cli.environment(environment))

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
class VercelProject:
    """A project's doings."""

    project: str
    team: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "VercelProject":
        """From the variables, or from `vercel link`: without either the CLI makes a new project.

        Raises Problem.
        """
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


def smoke(url: str, environment: Mapping[str, str]) -> None:
    """Deliver an AI result through a deployment. Raises Problem."""
    with step("the deployment's first delivery"):
        send.send(f"{url}{PATH}", PRESETS["structured"], environment, expect_row=True)


def needed(environment: Mapping[str, str], name: str) -> str:
    """A variable that has to be set. Raises Problem."""
    if value := environment.get(name):
        return value
    raise Problem(f"set {name}; nothing was made")


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """What fails within is said to have failed at this."""
    try:
        yield
    except Problem as error:
        raise Problem(f"{what}: {error}") from None


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that no other process uses meanwhile."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
