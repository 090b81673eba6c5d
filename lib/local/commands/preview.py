"""`make preview`: a deployment by `neonctl` and `vercel`, with a database branch of its own.

If a step fails, what this very run made before it is taken away again, and nothing else: what was
made is known from the answer of the program that made it.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from lib.local.commands import cli, schema
from lib.local.commands.platforms import NeonBranch, VercelProject, needed, smoke, step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--branch", required=True, help="the git branch")
    parser.add_argument("--delete", action="store_true", help="delete its database branch instead")


def run(arguments: argparse.Namespace) -> int:
    """Deploy and print the URL, or delete the branch. Raises Problem."""
    print((delete if arguments.delete else deploy)(arguments.branch, os.environ))
    return 0


def deploy(git_branch: str, environment: Mapping[str, str]) -> str:
    """Make branch and deployment, and deliver an AI result through both. Returns the URL.

    Raises Problem, and leaves nothing behind.
    """
    neon, vercel = NeonBranch.of(git_branch, environment), VercelProject.of(environment)
    needed(environment, "MODELRIVER_WEBHOOK_SECRET")
    with ExitStack() as undo:
        branch = neon.find()
        if branch is None:
            branch = neon.create()
            undo.callback(_take_away, neon.name, neon.delete, branch)
        direct, pooled = neon.url(branch), neon.url(branch, "--pooled")
        with step("sql/schema.sql"):
            schema.apply(direct)
        url = vercel.deploy("preview", {"DATABASE_URL": pooled})
        undo.callback(_take_away, url, vercel.remove, url)
        smoke(url, {**environment, "DATABASE_URL": pooled})
        undo.pop_all()
    return url


def delete(git_branch: str, environment: Mapping[str, str]) -> str:
    """Delete the database branch; it is no fault if there is none. Returns what was done.

    Raises Problem.
    """
    neon = NeonBranch.of(git_branch, environment)
    branch = neon.find()
    if branch is None:
        return f"there is no branch {neon.name}"
    neon.delete(branch)
    return f"branch {neon.name} deleted"


def _take_away(what: str, how: Callable[[str], None], which: str) -> None:
    try:
        how(which)
    except cli.Failed as failed:
        print(f"{what} is left behind: {failed}", file=sys.stderr)
