"""`make production`: main's deployment, from a database that is ready for it."""

import argparse
import os
from collections.abc import Mapping

from lib.local.commands import schema
from lib.local.commands.platforms import VercelProject, needed, smoke, step
from lib.local.problem import Problem


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none: all comes from the environment."""


def run(_: argparse.Namespace) -> int:
    """Deploy, and print the URL. Raises Problem."""
    print(deploy(os.environ))
    return 0


def deploy(environment: Mapping[str, str]) -> str:
    """Check that production's schema is there, deploy, and deliver an AI result. Returns the URL.

    Raises Problem.
    """
    vercel = VercelProject.of(environment)
    for name in ("DATABASE_URL_UNPOOLED", "DATABASE_URL", "MODELRIVER_WEBHOOK_SECRET"):
        needed(environment, name)
    with step("production's database"):
        if differences := schema.check(environment["DATABASE_URL_UNPOOLED"]):
            raise Problem(f"it is not as sql/schema.sql says: {'; '.join(differences)}")
    url = vercel.deploy("production", {})
    try:
        smoke(url, environment)
    except Problem as failed:
        raise Problem(f"{failed}; {url} is live, `vercel rollback URL` leads back") from None
    return url
