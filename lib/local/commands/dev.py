"""ModelRiver on your desk: the function, a database and a console, to work with.

The function starts anew whenever a file of it changes. The embedded database follows
sql/schema.sql in the same way.
"""

import argparse
import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from urllib.parse import urlsplit

from lib.local.commands.arguments import port, positive
from lib.local.commands.changes import Changes
from lib.local.commands.databases import Database, choose
from lib.local.commands.running import STANDIN_SECRET, Running
from lib.local.console.archive import Archive
from lib.local.console.desk import Desk
from lib.local.console.forward import Forward
from lib.local.console.server import Console
from lib.local.environment import environment, setting
from lib.local.problem import Problem
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.redelivery import Endpoint, Redelivery
from lib.local.standins.vercel import PATH, Message, Vercel, log_line
from lib.settings import api_key, callback_origins, webhook_secrets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=3000, help="of the function; 3000")
    console = "of the console, and of callbacks; 3001"
    parser.add_argument("--modelriver-port", type=port, default=3001, help=console)
    faster = "of ModelRiver's redelivery: at 20, a minute passes in 3 s"
    parser.add_argument("--speed", type=positive, default=1.0, help=faster)
    live = "call back to ModelRiver itself as well: with the real secret and key, behind a tunnel"
    parser.add_argument("--live", action="store_true", help=live)
    remote = "use DATABASE_URL also where it is not on this machine"
    parser.add_argument("--remote", action="store_true", help=remote)
    neon = "on a stand-in for Neon, which neonctl can be pointed at, and which keeps nothing"
    parser.add_argument("--neon", action="store_true", help=neon)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted. Raises Problem, as where a port is taken.

    With a DATABASE_URL that is on this machine, or meant, that database is used, a Neon branch
    say; otherwise an embedded one, kept between runs.
    """
    options = {"--port": arguments.port, "--modelriver-port": arguments.modelriver_port}
    for option, number in options.items():
        if process.listens(number):
            raise Problem(
                f"port {number} is taken: stop what listens there, or choose another with {option}"
            )
    with suppress(KeyboardInterrupt), ExitStack() as parts:
        _serve(parts, arguments, environment())
    return 0  # Ctrl-C is how it is meant to end


def _serve(parts: ExitStack, arguments: argparse.Namespace, variables: dict[str, str]) -> None:
    settings = _settings(variables, is_live=arguments.live)
    secrets = settings["MODELRIVER_WEBHOOK_SECRET"].replace(",", " ").split()
    modelriver = parts.enter_context(
        ModelRiver(secrets[0], settings["MODELRIVER_API_KEY"], arguments.modelriver_port)
    )
    settings["MODELRIVER_CALLBACK_ORIGINS"] += f" {modelriver.origin}"
    database = choose(parts, modelriver, variables, arguments)
    vercel = Vercel({**settings, "DATABASE_URL": database.url})
    desk = attach_console(
        parts,
        modelriver,
        vercel,
        database.direct_url,
        arguments.port,
        arguments.speed,
        secrets,
    ).desk
    desk.tell(database=database.name, live=arguments.live)
    vercel.on_message = partial(_show, desk)
    parts.enter_context(vercel)
    url = f"http://127.0.0.1:{arguments.port}{PATH}"
    running = Running(url, modelriver.origin, secrets == [STANDIN_SECRET])
    parts.enter_context(running.announced())
    parts.enter_context(Archive(running.folder / "deliveries.sqlite", desk))
    _introduce(running, database, is_live=arguments.live)
    Changes(vercel, desk, database.direct_url, database.embedded).follow()


def _show(desk: Desk, message: Message) -> None:
    if line := log_line(message):
        print(line[1], flush=True)
    desk.take(message)


def _settings(variables: Mapping[str, str], *, is_live: bool) -> dict[str, str]:
    """The function's, but for the database and the stand-in's own origin. Raises Problem."""
    if not is_live:
        given = variables.get("MODELRIVER_WEBHOOK_SECRET") or STANDIN_SECRET
        setting(webhook_secrets, {"MODELRIVER_WEBHOOK_SECRET": given})
        return {
            "MODELRIVER_WEBHOOK_SECRET": given,
            "MODELRIVER_API_KEY": "mr-key-local",
            "MODELRIVER_CALLBACK_ORIGINS": "",
        }
    try:
        secrets = setting(webhook_secrets, variables)
        key = setting(api_key, variables)
        origins = setting(callback_origins, variables)
    except Problem as problem:
        raise Problem(f"--live goes by the shell and .env, but {problem}") from None
    return {
        "MODELRIVER_WEBHOOK_SECRET": " ".join(map(os.fsdecode, secrets)),
        "MODELRIVER_API_KEY": key,
        "MODELRIVER_CALLBACK_ORIGINS": " ".join(origins),
    }


def attach_console(
    parts: ExitStack,
    modelriver: ModelRiver,
    vercel: Vercel,
    database_url: str,
    listen_on: int = 0,
    speed: float = 1.0,
    secrets: Collection[str] = (),
) -> Forward:
    """A console on ModelRiver's port, and the way to the function on a port, a free one if need be.

    What the function logs is for whoever starts it to hand on to the desk's `take`.
    """
    listen_on = listen_on or process.free_port()
    receiver = Endpoint(f"http://127.0.0.1:{listen_on}{PATH}", listen_on)
    redelivery = parts.enter_context(Redelivery(modelriver, [receiver], speed=speed))
    desk = Desk(modelriver, redelivery, speed, secrets)
    desk.tell(speed=speed, url=receiver.url)
    Console(modelriver, desk, database_url)
    return parts.enter_context(Forward(desk, vercel, listen_on))


def _introduce(running: Running, database: Database, *, is_live: bool) -> None:
    print(f"console    {running.console}")
    print(f"function   {running.url}")
    print(f"database   {database.name}")
    if is_live:
        here = urlsplit(running.url).port
        print(f"ModelRiver modelriver listen --port {here} --forward, or any tunnel to this port")
    print("In another terminal, to send to it, or to ask the database:")
    print("  make send")
    if database.embedded:
        print(f"  export DATABASE_URL='{database.url}'")
        print(f"  export DATABASE_URL_UNPOOLED='{database.direct_url}'")
    for name, value in database.variables.items():
        print(f"  export {name}={value}")
    print("Ctrl-C ends it all.", flush=True)
