"""A preview deployment with a database branch of its own, made with `neonctl` and `vercel`.

If a step fails, what the steps before it made is taken away again.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib.local.commands import build, schema, send
from lib.local.problem import Problem
from lib.local.standins.deliveries import PRESETS
from lib.local.standins.process import PartMissing
from lib.local.standins.vercel import PATH

EXPIRES_AFTER = timedelta(days=14)


class StepFailed(Problem):
    """The message names the step; what the program said may hold secrets, and is not shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--branch", required=True, help="the git branch")
    parser.add_argument("--delete", action="store_true", help="delete its database branch instead")


def run(arguments: argparse.Namespace) -> int:
    """Deploy and print the URL, or delete the branch. Raises Problem."""
    if arguments.delete:
        delete(arguments.branch, os.environ)
    else:
        print(deploy(arguments.branch, os.environ))
    return 0


def branch_name(git_branch: str) -> str:
    """Neon's branch for a git branch, named as Neon's own integration names it."""
    return f"preview/{git_branch}"


def deploy(git_branch: str, environment: Mapping[str, str]) -> str:
    """Make branch and deployment, and deliver an AI result through both. Returns the URL.

    Raises StepFailed or PartMissing, and leaves nothing behind.
    """
    name = branch_name(git_branch)
    with ExitStack() as undo:
        if not _succeeds("neonctl", "branches", "get", name, env=environment):
            expires = (datetime.now(UTC) + EXPIRES_AFTER).strftime("%Y-%m-%dT%H:%M:%SZ")
            create = ("branches", "create", "--name", name, "--expires-at", expires)
            # Registered first: a program that fails late may have made the branch all the same.
            undo.callback(_quietly_delete, name, environment)
            _run("neonctl", *create, "--no-secrets", env=environment)
        direct = _run("neonctl", "connection-string", name, env=environment)
        pooled = _run("neonctl", "connection-string", name, "--pooled", env=environment)
        try:
            schema.apply(direct)
        except Problem as error:
            raise StepFailed(f"sql/schema.sql: {error}") from None
        with_branch = {**environment, "DATABASE_URL": pooled}
        url = _deploy(["--env", "DATABASE_URL"], "preview", with_branch)
        undo.callback(_succeeds, "vercel", "remove", url, "--yes", env=environment)
        _smoke(url, with_branch)
        undo.pop_all()
    return url


def deploy_production(environment: Mapping[str, str]) -> str:
    """Check that production's schema is there, deploy, and deliver an AI result. Returns the URL.

    Raises StepFailed or PartMissing.
    """
    try:
        differences = schema.check(environment.get("DATABASE_URL_UNPOOLED", ""))
    except Problem as error:
        raise StepFailed(f"production's database: {error}") from None
    if differences:
        said = "; ".join(differences)
        raise StepFailed(f"production's database is not as sql/schema.sql says: {said}")
    url = _deploy(["--prod"], "production", environment)
    _smoke(url, environment)
    return url


def delete(git_branch: str, environment: Mapping[str, str]) -> None:
    """Delete the database branch; it is no fault if there is none."""
    name = branch_name(git_branch)
    if _succeeds("neonctl", "branches", "get", name, env=environment):
        _run("neonctl", "branches", "delete", name, env=environment)


def _deploy(options: Sequence[str], target: str, environment: Mapping[str, str]) -> str:
    """Build a copy and deploy what was built, so that what is deployed was tested."""
    with tempfile.TemporaryDirectory(prefix="deploy-") as folder:
        copy = build.copy_project(Path(folder) / "project", link=False)
        pull = ("pull", "--yes", f"--environment={target}")
        _run("vercel", *pull, env=environment, directory=copy)
        config = json.loads((copy / "vercel.json").read_text())
        with_build = {**environment, **config["build"]["env"]}
        production = ["--prod"] if target == "production" else []
        _run("vercel", "build", "--yes", *production, env=with_build, directory=copy)
        command = ("deploy", "--prebuilt", "--yes", *options)
        return _run("vercel", *command, env=environment, directory=copy).split()[-1]


def _smoke(url: str, environment: Mapping[str, str]) -> None:
    try:
        send.send(f"{url}{PATH}", PRESETS["structured"], environment, expect_row=True)
    except Problem as error:
        raise StepFailed(f"the deployment's first delivery: {error}") from None


def _quietly_delete(name: str, environment: Mapping[str, str]) -> None:
    _succeeds("neonctl", "branches", "delete", name, env=environment)


def _run(
    program: str, *arguments: str, env: Mapping[str, str], directory: Path | None = None
) -> str:
    done = _call(program, arguments, env, directory)
    if done.returncode:
        raise StepFailed(f"{program} {' '.join(arguments[:2])} (status {done.returncode})")
    return done.stdout.strip()


def _succeeds(program: str, *arguments: str, env: Mapping[str, str]) -> bool:
    return _call(program, arguments, env, None).returncode == 0


def _call(
    program: str, arguments: Sequence[str], env: Mapping[str, str], directory: Path | None
) -> "subprocess.CompletedProcess[str]":
    path = shutil.which(program, path=env.get("PATH", os.defpath))
    if path is None:
        package = {"neonctl": "neonctl", "vercel": "vercel"}[program]
        raise PartMissing(f"No {program}: npm install --global {package}")
    return subprocess.run(
        [path, *arguments],
        cwd=directory,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
