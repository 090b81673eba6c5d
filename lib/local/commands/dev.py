"""ModelRiver on your desk: the function, a database and a console, to work with.

The function starts anew whenever a file of it changes. The embedded database follows
sql/schema.sql in the same way.
"""

import argparse
import fcntl
import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from lib.local.commands import schema
from lib.local.commands.arguments import port, positive
from lib.local.commands.changes import Changes
from lib.local.commands.running import STANDIN_SECRET, Running
from lib.local.console.archive import Archive
from lib.local.console.desk import Desk
from lib.local.console.forward import Forward
from lib.local.console.server import Console
from lib.local.database import is_here, place
from lib.local.environment import environment, setting
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import PROJECT, Neon
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.redelivery import Endpoint, Redelivery
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import PATH, Message, Vercel, log_line
from lib.settings import api_key, callback_origins, database_url, webhook_secrets


@dataclass(frozen=True, slots=True)
class _Database:
    name: str
    """For a person to read, without a password."""
    url: str
    direct_url: str
    embedded: Postgres | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """What leads neonctl to it."""


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
    database = _on_neon(parts) if arguments.neon else _given(variables, is_meant=arguments.remote)
    database = database or _embedded(parts, modelriver)
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

    def show(message: Message) -> None:
        if line := log_line(message):
            print(line[1], flush=True)
        desk.take(message)

    vercel.on_message = show
    parts.enter_context(vercel)
    url = f"http://127.0.0.1:{arguments.port}{PATH}"
    running = Running(url, modelriver.origin, secrets == [STANDIN_SECRET])
    parts.enter_context(running.announced())
    parts.enter_context(Archive(running.folder / "deliveries.sqlite", desk))
    _introduce(running, database, is_live=arguments.live)
    Changes(vercel, desk, database.direct_url, database.embedded).follow()


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
        "MODELRIVER_CALLBACK_ORIGINS": " ".join(map(str, origins)),
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


def _introduce(running: Running, database: _Database, *, is_live: bool) -> None:
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


def _given(variables: Mapping[str, str], *, is_meant: bool) -> _Database | None:
    if not variables.get("DATABASE_URL"):
        return None
    url = setting(database_url, variables)
    name = "DATABASE_URL_UNPOOLED" if variables.get("DATABASE_URL_UNPOOLED") else "DATABASE_URL"
    direct_url = setting(lambda given: database_url(given, name), variables)
    for each in (url, direct_url):
        if not is_meant and not is_here(each):
            print(f"{place(each)} is not on this machine, and is left alone: --remote uses it")
            return None
    return _Database(place(url), url, direct_url)


def _embedded(parts: ExitStack, modelriver: ModelRiver) -> _Database:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = parts.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Problem(f"another make dev is using {folder}: stop it first") from None
    postgres = parts.enter_context(Postgres(folder))
    pgbouncer = None
    with suppress(PartMissing):
        pgbouncer_binary()
        listen_on = process.kept_port(folder / "pgbouncer-port")
        pgbouncer = parts.enter_context(PgBouncer(postgres, port=listen_on))
    stack = parts.enter_context(Stack(modelriver, postgres, pgbouncer))
    through = ", through PgBouncer" if pgbouncer else ""
    return _Database(f"Postgres in {folder}{through}", stack.url, stack.direct_url, postgres)


def _on_neon(parts: ExitStack) -> _Database:
    postgres = parts.enter_context(Postgres())
    neon = parts.enter_context(Neon(postgres))
    # Its hosts have no address of their own.
    pooled_url, direct_url = (
        f"{neon.url(neon.main, pooled=each)}&hostaddr=127.0.0.1" for each in (True, False)
    )
    schema.apply(direct_url)
    name = f"stand-in for Neon, project {PROJECT}, branch main"
    return _Database(name, pooled_url, direct_url, postgres, neon.environment)


def _folder() -> Path:
    """Where the rows are kept: in the project, if Postgres can get there.

    As root, Postgres runs as somebody else, to whom a home may be closed.
    """
    folder = LOCAL / "postgres"
    LOCAL.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or process.is_open_to_others(LOCAL):
        return folder
    return Path(f"/var/tmp/modelriver-{sha256(str(ROOT).encode()).hexdigest()[:8]}")
