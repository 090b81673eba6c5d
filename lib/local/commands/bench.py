"""`make bench`: what keeping every promise costs."""

import argparse

from lib.local.commands.arguments import count
from lib.local.trials.bench import bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=count, default=5, help="of which medians are shown; 5")
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("--against", help="another revision of this project to run as well")
    parser.add_argument("--plot", action="store_true", help="draw the README's picture anew")


def run(arguments: argparse.Namespace) -> int:
    """Measure; 1 where one of ours was not answered 200. Raises Problem."""
    return bench.run(
        arguments.rounds,
        as_json=arguments.json,
        against=arguments.against,
        plot=arguments.plot,
    )
