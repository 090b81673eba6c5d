"""`make soak`: one instance of the function, or of what it is compared with."""

import argparse

from lib.local.commands.arguments import count
from lib.local.trials import soak
from lib.local.trials.bench.candidates import CANDIDATES, OURS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deliveries", type=count, default=50_000, help="before the bursts; 50000")
    which = f"what is driven; {OURS} is the default"
    parser.add_argument("--candidate", choices=CANDIDATES, default=OURS, help=which)


def run(arguments: argparse.Namespace) -> int:
    """Drive it; 1 where it did not answer as it should. Raises Problem."""
    return soak.run(arguments.deliveries, CANDIDATES[arguments.candidate])
