"""`python -m lib.local …`: the commands that `make` shows."""

import argparse
import os
import sys

import psycopg

from lib.local import build, chaos, demo, fuzz, soak
from lib.local.postgres import SCHEMA
from lib.local.process import PartMissing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lib.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="deliver three AI results, and show all that happens")
    commands.add_parser("build", help="build what would be deployed, and say what it is")
    commands.add_parser("schema", help="apply sql/schema.sql over the direct connection")
    broken = commands.add_parser("chaos", help="break everything while AI results are delivered")
    broken.add_argument("--seed", type=int, help="repeat the run that printed this seed")
    broken.add_argument("--seconds", type=float, default=120)
    broken.add_argument("--rate", type=float, default=40, help="AI results a second")
    driven = commands.add_parser("soak", help="drive one instance for long, then with bursts")
    driven.add_argument("--deliveries", type=int, default=50_000)
    mangled = commands.add_parser("fuzz", help="feed the function mangled deliveries")
    mangled.add_argument("--target", choices=fuzz.TARGETS, help="default: each for half the time")
    mangled.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    try:
        if arguments.command == "demo":
            demo.run()
        elif arguments.command == "build":
            build.run()
        elif arguments.command == "soak":
            return soak.run(arguments.deliveries)
        elif arguments.command == "fuzz":
            return fuzz.run(arguments.target, arguments.seconds)
        elif arguments.command == "chaos":
            return chaos.run(arguments.seed, arguments.seconds, arguments.rate)
        else:
            apply_schema()
    except (demo.Broken, PartMissing, RuntimeError) as problem:
        print(f"{parser.prog} {arguments.command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def apply_schema() -> None:
    url = os.environ.get("DATABASE_URL_UNPOOLED") or os.environ.get("DATABASE_URL")
    if not url:
        raise RuntimeError("set DATABASE_URL_UNPOOLED, Neon's direct connection string")
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=15) as connection:
            connection.execute(SCHEMA.read_bytes())
    except psycopg.Error as error:
        hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
        raise RuntimeError(f"{error.diag.message_primary or error}{hint}") from None
    print("ai_content is as sql/schema.sql says.")


if __name__ == "__main__":
    sys.exit(main())
