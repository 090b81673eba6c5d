"""The platforms that the real `neonctl` and `vercel` are pointed at, and a checkout to deploy."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from lib.local.commands import build, cli
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import Neon
from lib.local.standins.neon_proxy import Branch
from lib.local.standins.process import PartMissing
from lib.local.standins.vercel_api import PROJECT, TEAM, VercelApi
from tests.support import missing

PLATFORMS = ("NEON_", "VERCEL_", "PG", "DATABASE_URL", "MODELRIVER_", "XDG_", "AI_AGENT", "CLAUDE")
"""How variables begin that would lead the programs elsewhere."""


@dataclass(frozen=True)
class Platforms:
    """Neon, Vercel and ModelRiver, and what leads the programs to them."""

    neon: Neon
    vercel: VercelApi
    modelriver: ModelRiver
    environment: Mapping[str, str]

    def execute(self, branch: Branch, statement: str) -> list[tuple[object, ...]]:
        """Over Neon's proxy, directly."""
        url = f"{self.neon.url(branch)}&hostaddr=127.0.0.1"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def holds(self) -> tuple[object, ...]:
        """All that a command may have changed."""
        branches = {each.id: each.name for each in self.neon.branches.values()}
        return branches, set(self.vercel.deployments)

    def make(
        self, checkout: Path, *arguments: str, **changed: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in a checkout; a variable `changed` to nothing is not set."""
        environment = {**self.environment, **changed}
        return subprocess.run(
            [sys.executable, "-m", "lib.local", *arguments],
            cwd=checkout,
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )


@pytest.fixture(scope="session")
def platforms(
    neon: Neon, modelriver: ModelRiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platforms]:
    with VercelApi() as vercel:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(PLATFORMS)}
        settings = {**modelriver.settings, "PGHOSTADDR": "127.0.0.1"}
        for target in vercel.settings.values():
            target |= settings  # noqa: PLW2901
        environment = {
            **ours,
            **neon.environment,
            **vercel.environment(tmp_path_factory.mktemp("vercel")),
            **settings,
            "VERCEL_ORG_ID": TEAM,
            "VERCEL_PROJECT_ID": PROJECT,
            "HOME": str(tmp_path_factory.mktemp("home")),  # nobody is signed in there
            "UV_CACHE_DIR": str(Path.home() / ".cache" / "uv"),  # but packages are known here
        }
        yield Platforms(neon, vercel, modelriver, environment)


@pytest.fixture
def unspoilt(platforms: Platforms) -> Iterator[Platforms]:
    """The platforms, as they are again after the test."""
    yield platforms
    platforms.neon.api.faults.clear()
    platforms.vercel.api.faults.clear()
    platforms.neon.api.requests.clear()
    platforms.vercel.api.requests.clear()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return check_out(tmp_path_factory.mktemp("checkout"))


def check_out(folder: Path) -> Path:
    """A copy of this project as a checkout of its own, with the programs in place."""
    try:
        installed = cli.program("vercel").parents[2]
        build.copy_project(folder, link=False)
    except PartMissing as reason:
        missing(reason)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".local").mkdir()
    (folder / ".local" / installed.name).symlink_to(installed)
    return folder
