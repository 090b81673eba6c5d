"""`make mutants`: what the tests would not notice."""

import argparse
import sys

from lib.local.commands.arguments import count
from lib.local.trials.mutants.run import PURE, ROOMS, SESSION, Findings
from lib.local.trials.mutants.run import run as run_mutants


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = [*ROOMS.values(), "pure"]
    rooms = "files of the function's, all by default, or pure: those whose tests start nothing"
    parser.add_argument("rooms", nargs="*", choices=names, metavar="ROOM", help=rooms)
    sample = "of each room only so many, the same every time"
    parser.add_argument("--sample", type=count, help=sample)
    alone = "do not put before the stack's tests what a room's own do not notice"
    parser.add_argument("--own-tests-only", action="store_true", help=alone)
    listed = "test those that are listed as equivalent, too, and tell of any that is noticed"
    parser.add_argument("--listed", action="store_true", help=listed)
    afresh = "forget what earlier runs have killed"
    parser.add_argument("--afresh", action="store_true", help=afresh)


def run(arguments: argparse.Namespace) -> int:
    """Test, and list what survived; 1 where anything did. Raises Problem."""
    if arguments.afresh:
        SESSION.unlink(missing_ok=True)
    named = set(arguments.rooms or ROOMS.values())
    if "pure" in named:
        named |= set(PURE)
    findings = run_mutants(
        [path for path, name in ROOMS.items() if name in named],
        sample=arguments.sample,
        own_tests_only=arguments.own_tests_only,
        listed_too=arguments.listed,
        on_progress=_show,
        on_survivor=lambda mutant: print(f"\r  SURVIVED {mutant}", flush=True),
    )
    print(f"{findings.killed} killed, {len(findings.survivors)} survived")
    for entry in findings.stale:
        print(f"  STALE {entry}")
    return 1 if findings.survivors or findings.stale else 0


def _show(done: int, total: int, findings: Findings) -> None:
    """A bar where somebody looks, which goes when it is over."""
    if sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        said = f"\r[{bar:30}] {done}/{total}, {len(findings.survivors)} survived"
        print(said if done < total else "\r\x1b[K", end="", file=sys.stderr, flush=True)
