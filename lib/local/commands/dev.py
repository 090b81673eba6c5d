"""ModelRiver on your desk: the function, a database and a console, to work with.

The function starts anew whenever a file of it changes. The embedded database follows
sql/schema.sql in the same way.
"""

import argparse
import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lib.local.commands import schema
from lib.local.commands.arguments import positive
from lib.local.commands.changes import Changes
from lib.local.console.desk import Desk
from lib.local.console.server import Console
from lib.local.database import place
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import PROJECT, Neon
from lib.local.standins.postgres import Postgres
from lib.local.standins.proxy import Proxy
from lib.local.standins.redelivery import Endpoint, Receiver, Redelivery
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import PATH, Message, Vercel, log_line


@dataclass(frozen=True, slots=True)
class _Database:
    name: str
    """For a person to read, without a password."""
    url: str
    direct_url: str
    is_ours: bool
    """Whether it is the embedded one, which follows sql/schema.sql."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What leads neonctl to it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=3000, help="of the function; 3000")
    console = "of the console, and of callbacks; 3001"
    parser.add_argument("--modelriver-port", type=int, default=3001, help=console)
    faster = "of ModelRiver's redelivery: at 20, a minute passes in 3 s"
    parser.add_argument("--speed", type=positive, default=1.0, help=faster)
    neon = "on a stand-in for Neon, which neonctl can be pointed at, and which keeps nothing"
    parser.add_argument("--neon", action="store_true", help=neon)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted. Raises Problem, as where a port is taken.

    With DATABASE_URL in the environment that database is used, a Neon branch say; otherwise an
    embedded one, kept between runs.
    """
    for each in (arguments.port, arguments.modelriver_port):
        if process.listens(each):
            raise Problem(f"port {each} is taken: stop what listens there, or choose another")
    with suppress(KeyboardInterrupt), ExitStack() as parts:
        database = _on_neon(parts) if arguments.neon else _given()
        _serve(parts, arguments.port, arguments.modelriver_port, arguments.speed, database)
    return 0  # Ctrl-C is how it is meant to end


def _serve(
    parts: ExitStack, port: int, modelriver_port: int, speed: float, database: _Database | None
) -> None:
    secret = (os.environ.get("MODELRIVER_WEBHOOK_SECRET", "").split() or ["whsec-local"])[0]
    modelriver = parts.enter_context(ModelRiver(secret, port=modelriver_port))
    database = database or _embedded(parts, modelriver)
    url = f"http://127.0.0.1:{port}{PATH}"
    desk = attach_console(parts, modelriver, [Endpoint(url, port)], database.direct_url, speed)
    desk.tell(url=url, database=database.name)

    def show(message: Message) -> None:
        if line := log_line(message):
            print(line[1], flush=True)
        desk.take(message)

    vercel = Vercel({**modelriver.settings, "DATABASE_URL": database.url})
    vercel.on_message = show
    parts.enter_context(vercel)
    proxy = parts.enter_context(Proxy(vercel.port, listen_on=port))
    _introduce(url, modelriver, database)
    Changes(vercel, proxy, desk, database.direct_url, follows_schema=database.is_ours).follow()


def attach_console(
    parts: ExitStack,
    modelriver: ModelRiver,
    receivers: Sequence[Receiver],
    database_url: str,
    speed: float = 1.0,
) -> Desk:
    """A console on ModelRiver's port, which delivers to the receivers, and shows their rows.

    What the receivers log is for whoever starts them to hand on to the desk's `take`.
    """
    redelivery = parts.enter_context(Redelivery(modelriver, receivers, speed=speed))
    desk = Desk(modelriver, redelivery, speed)
    desk.tell(speed=speed)
    Console(modelriver, desk, database_url)
    return desk


def _introduce(url: str, modelriver: ModelRiver, database: _Database) -> None:
    print(f"console    {modelriver.origin}")
    print(f"function   {url}")
    print(f"database   {database.name}")
    print("In another terminal, to send to it, or to ask the database:")
    print(f"  export MODELRIVER_WEBHOOK_SECRET={modelriver.secret}")
    print(f"  export MODELRIVER_CALLBACK_ORIGINS={modelriver.origin}")
    if database.is_ours:
        print(f"  export DATABASE_URL='{database.url}'")
        print(f"  export DATABASE_URL_UNPOOLED='{database.direct_url}'")
    for name, value in database.variables.items():
        print(f"  export {name}={value}")
    print(f"  make send URL={url}")
    print("Ctrl-C ends it all.", flush=True)


def _given() -> _Database | None:
    url = os.environ.get("DATABASE_URL")
    if not url:
        return None
    direct_url = os.environ.get("DATABASE_URL_UNPOOLED") or url
    return _Database(place(url), url, direct_url, is_ours=False)


def _embedded(parts: ExitStack, modelriver: ModelRiver) -> _Database:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = parts.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Problem(f"another make dev is using {folder}: stop it first") from None
    stack = parts.enter_context(Stack(modelriver, parts.enter_context(Postgres(folder))))
    through = "" if stack.url == stack.direct_url else ", through PgBouncer"
    return _Database(f"Postgres in {folder}{through}", stack.url, stack.direct_url, is_ours=True)


def _on_neon(parts: ExitStack) -> _Database:
    neon = parts.enter_context(Neon(parts.enter_context(Postgres())))
    # Its hosts have no address of their own.
    pooled_url, direct_url = (
        f"{neon.url(neon.main, pooled=each)}&hostaddr=127.0.0.1" for each in (True, False)
    )
    schema.apply(direct_url)
    name = f"stand-in for Neon, project {PROJECT}, branch main"
    return _Database(name, pooled_url, direct_url, is_ours=True, variables=neon.environment)


def _folder() -> Path:
    """Where the rows are kept: in the project, if Postgres can get there.

    As root, Postgres runs as somebody else, to whom a home may be closed.
    """
    folder = LOCAL / "postgres"
    if os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in ROOT.parents):
        return folder
    return Path(f"/var/tmp/modelriver-{sha256(str(ROOT).encode()).hexdigest()[:8]}")
