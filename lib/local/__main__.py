"""`python -m lib.local …`: the commands that `make` shows."""

import argparse
import os
import sys

from lib.local.commands import build, cli, demo, dev, preview, schema, screenshots, send, status
from lib.local.commands.progress import waiting_for
from lib.local.standins.modelriver import SCHEMES
from lib.local.standins.process import PartMissing
from lib.local.trials import chaos, fuzz, scale, soak
from lib.local.trials.bench import bench

PROBLEMS = (
    cli.Failed,
    demo.Broken,
    preview.StepFailed,
    schema.NotApplied,
    send.NotSent,
    status.NotRead,
    PartMissing,
    RuntimeError,
)
"""What ends a command with one line and status 1."""


def main() -> int:
    arguments = _parser().parse_args()
    try:
        return _run(arguments)
    except PROBLEMS as problem:
        print(f"{arguments.command}: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _positive(text: str) -> float:
    """A number above zero, as argparse asks for it."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return number


def _count(text: str) -> int:
    """A whole number above zero, as argparse asks for it."""
    return int(_positive(str(int(text))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lib.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="deliver three AI results, and show all that happens")
    commands.add_parser("build", help="build what would be deployed, and say what it is")

    served = commands.add_parser("dev", help="the function on this machine, to work on")
    served.add_argument("--port", type=int, default=3000)
    served.add_argument("--modelriver-port", type=int, default=3001, help="of the console too")
    faster = "of ModelRiver's redelivery: at 20, a minute passes in 3 s"
    served.add_argument("--speed", type=_positive, default=1.0, help=faster)
    served.add_argument("--neon", action="store_true", help="on a stand-in for Neon, for neonctl")
    commands.add_parser("screenshots", help="take the README's pictures of the console")

    applied = commands.add_parser("schema", help="apply sql/schema.sql, directly")
    applied.add_argument("--check", action="store_true", help="change nothing, only compare")

    sent = commands.add_parser("send", help="deliver one signed AI result to any receiver")
    sent.add_argument("url")
    what = sent.add_mutually_exclusive_group()
    what.add_argument("--preset", choices=send.PRESETS, default="structured")
    what.add_argument("--file", help="an AI result as JSON; - is standard input")
    sent.add_argument("--scheme", choices=SCHEMES, default="documented")
    row = "look for the row in DATABASE_URL, and remove it again"
    sent.add_argument("--expect-row", action="store_true", help=row)

    told = commands.add_parser("status", help="how a deployment is doing, from its DATABASE_URL")
    told.add_argument("--json", action="store_true", help="for scripts")

    previewed = commands.add_parser("preview", help="deploy with a database branch of its own")
    previewed.add_argument("--branch", required=True, help="the git branch")
    previewed.add_argument("--delete", action="store_true", help="delete the database branch")
    commands.add_parser("production", help="check the schema, deploy, deliver one AI result")

    broken = commands.add_parser("chaos", help="break everything while AI results are delivered")
    broken.add_argument("--seed", type=int, help="repeat the run that printed this seed")
    broken.add_argument("--seconds", type=_positive, default=120)
    broken.add_argument("--rate", type=_positive, default=40, help="AI results a second")
    pace = "of ModelRiver's clock; at 1, what its real pace would bring"
    broken.add_argument("--speed", type=_positive, default=chaos.SPEED, help=pace)

    compared = commands.add_parser("bench", help="latency, CPU and cold start, as ratios")
    compared.add_argument("--rounds", type=_count, default=5)
    compared.add_argument("--json", action="store_true", help="for scripts")
    compared.add_argument("--against", help="another revision of this project to run as well")
    compared.add_argument("--plot", action="store_true", help="draw the README's picture anew")

    scaled = commands.add_parser("bench-scale", help="1 to 8 instances before one PgBouncer")
    scaled.add_argument("--deliveries", type=_count, default=4000)

    driven = commands.add_parser("soak", help="drive one instance for long, then with bursts")
    driven.add_argument("--deliveries", type=_count, default=50_000)
    driven.add_argument("--candidate", choices=bench.CANDIDATES, default=bench.OURS)

    mangled = commands.add_parser("fuzz", help="feed the function mangled deliveries")
    mangled.add_argument("--target", choices=fuzz.TARGETS, help="default: each for half the time")
    mangled.add_argument("--seconds", type=_count, default=60)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "demo":
            demo.run()
        case "dev":
            ports = (arguments.port, arguments.modelriver_port)
            dev.run(os.environ, *ports, arguments.speed, neon=arguments.neon)
        case "screenshots":
            screenshots.run()
        case "build":
            build.run()
        case "schema":
            return _schema(check_only=arguments.check)
        case "send":
            preset = send.PRESETS[arguments.preset]
            result = send.read_file(arguments.file) if arguments.file else preset
            send.send(
                arguments.url,
                result,
                os.environ,
                scheme=arguments.scheme,
                expect_row=arguments.expect_row,
            )
        case "status":
            return status.run(os.environ, as_json=arguments.json)
        case "preview" if arguments.delete:
            print(preview.delete(arguments.branch, os.environ))
        case "preview":
            print(preview.deploy(arguments.branch, os.environ))
        case "production":
            print(preview.deploy_production(os.environ))
        case "chaos":
            return chaos.run(arguments.seed, arguments.seconds, arguments.rate, arguments.speed)
        case "bench":
            return bench.run(
                arguments.rounds,
                as_json=arguments.json,
                against=arguments.against,
                plot=arguments.plot,
            )
        case "bench-scale":
            return scale.run(arguments.deliveries)
        case "soak":
            return soak.run(arguments.deliveries, bench.CANDIDATES[arguments.candidate])
        case "fuzz":
            return fuzz.run(arguments.target, arguments.seconds)
    return 0


def _schema(*, check_only: bool) -> int:
    url = os.environ.get("DATABASE_URL_UNPOOLED") or os.environ.get("DATABASE_URL")
    if not url:
        raise schema.NotApplied("set DATABASE_URL_UNPOOLED, Neon's direct connection string")
    where = schema.place(url)
    try:
        if not check_only:
            with waiting_for(f"applying sql/schema.sql to {where}"):
                changes = schema.apply(url)
            _list(f"sql/schema.sql applied to {where}: ", changes, "nothing to change")
        with waiting_for(f"comparing {where}"):
            differences = schema.check(url)
    except schema.NotApplied as error:
        raise schema.NotApplied(f"{where}: {error}") from None
    agree = "sql/schema.sql, lib/content.py and the table agree"
    _list(f"{where}: ", differences, agree)
    return 1 if differences else 0


def _list(begin: str, items: list[str], otherwise: str) -> None:
    print(f"{begin}{otherwise}" if not items else begin.rstrip())
    for item in items:
        print(f"  {item}")


if __name__ == "__main__":
    sys.exit(main())
