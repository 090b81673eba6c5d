"""`make production`: main's deployment, from a database that is ready for it."""

import argparse
import os

from lib.local.commands.preview import deploy_production


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none: all comes from the environment."""


def run(_: argparse.Namespace) -> int:
    """Deploy, and print the URL. Raises Problem."""
    print(deploy_production(os.environ))
    return 0
