"""`make fuzz`: for as long as one likes."""

import argparse

from lib.local.commands.arguments import count
from lib.local.trials import fuzz


def add_arguments(parser: argparse.ArgumentParser) -> None:
    which = "fuzz this one alone; by default each for a third of the time"
    parser.add_argument("--target", choices=fuzz.TARGETS, help=which)
    parser.add_argument("--seconds", type=count, default=60, help="in all; 60")
    parser.add_argument("--keep", action="store_true", help="keep what one target found")


def run(arguments: argparse.Namespace) -> int:
    """Fuzz; 1 where an answer was none of the defined ones. Raises Problem."""
    return fuzz.run(arguments.target, arguments.seconds, keep=arguments.keep)
