"""`make chaos`: what came of breaking everything, as a table."""

import argparse
import random

from lib.local.commands.arguments import positive
from lib.local.trials.chaos import SPEED, Chaos


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, help="repeat the run that printed this seed")
    parser.add_argument("--seconds", type=positive, default=120, help="of deliveries; 120")
    parser.add_argument("--rate", type=positive, default=40, help="AI results a second; 40")
    pace = f"of ModelRiver's clock, {SPEED:.0f}; at 1, what its real pace would bring"
    parser.add_argument("--speed", type=positive, default=SPEED, help=pace)


def run(arguments: argparse.Namespace) -> int:
    """Run, and print the table; 1 where a promise was broken. Raises Problem."""
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    rate, seconds = arguments.rate, arguments.seconds
    print(f"seed {seed}: {rate:.0f} AI results a second for {seconds:.0f} s", flush=True)
    chaos = Chaos(seed, seconds, rate, arguments.speed)
    verdict = chaos.run()
    for name, value in verdict.figures.items():
        print(f"  {name:<40} {value}")
    print("  " + ", ".join(f"{what} {times} times" for what, times in sorted(chaos.done.items())))
    broken = {name: count for name, count in verdict.broken.items() if count}
    for name, count in broken.items():
        print(f"  BROKEN: {name}: {count}")
    print("  all promises kept" if not broken else "  promises broken")
    return 1 if broken else 0
