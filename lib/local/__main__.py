"""`python -m lib.local …`: the commands that `make` shows."""

import argparse
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn

from lib.local.problem import Problem

COMMANDS = {
    "demo": "deliver three AI results, and show all that happens",
    "dev": "the function on this machine, to work on, and a console",
    "parts": "install what the tests and stand-ins need of programs",
    "send": "deliver one signed AI result to any receiver",
    "status": "how a deployment is doing, from its DATABASE_URL",
    "schema": "apply sql/schema.sql, directly",
    "build": "build what would be deployed, and say what it is",
    "preview": "deploy with a database branch of its own",
    "production": "check the schema, deploy, deliver one AI result",
    "chaos": "break everything while AI results are delivered, and count",
    "fuzz": "feed the function mangled deliveries",
    "mutants": "put each small mistake into the function, and see whether a test notices",
    "bench": "latency, CPU and cold start, as ratios",
    "bench-scale": "1 to 8 instances before one PgBouncer",
    "soak": "drive one instance for long, then with bursts",
    "screenshots": "take the README's pictures of the console",
}
"""Each is the module of that name in `commands`, with `add_arguments` and `run`."""


def main() -> int:
    """Run the command that was called. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not every terminal can show every letter
            stream.reconfigure(errors="replace")
    arguments = _parser(sys.argv[1] if sys.argv[1:] else "").parse_args()
    try:
        status: int = arguments.run(arguments)
    except Problem as problem:
        print(f"{arguments.command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for any other bad input, and no usage."""
        self.exit(1, f"{self.prog.rpartition(' ')[2]}: {message}; --help says more\n")


def _parser(called: str) -> argparse.ArgumentParser:
    """Of all modules only that of the command that is called is loaded."""
    parser = _Parser(prog="python -m lib.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND [OPTION]")
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        if name == called:
            module = import_module(f"lib.local.commands.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
