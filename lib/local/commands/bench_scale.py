"""`make bench-scale`: how it grows."""

import argparse

from lib.local.commands.arguments import count
from lib.local.trials import scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    many = "for each number of instances; 4000"
    parser.add_argument("--deliveries", type=count, default=4000, help=many)


def run(arguments: argparse.Namespace) -> int:
    """Measure; 1 where a delivery was not answered 200. Raises Problem."""
    return scale.run(arguments.deliveries)
