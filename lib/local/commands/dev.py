"""ModelRiver on your desk: the function, a database and a console, to work with.

The function starts anew whenever a file of it changes. The embedded database follows
sql/schema.sql in the same way.
"""

import argparse
import fcntl
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lib.local.commands.arguments import positive
from lib.local.commands.changes import Changes
from lib.local.console.archive import Archive
from lib.local.console.desk import Desk
from lib.local.console.forward import Forward
from lib.local.console.server import Console
from lib.local.database import place
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.redelivery import Endpoint, Redelivery
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=3000, help="of the function; 3000")
    console = "of the console, and of callbacks; 3001"
    parser.add_argument("--modelriver-port", type=int, default=3001, help=console)
    faster = "of ModelRiver's redelivery: at 20, a minute passes in 3 s"
    parser.add_argument("--speed", type=positive, default=1.0, help=faster)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted. Raises Problem, as where a port is taken.

    With DATABASE_URL in the environment that database is used, a Neon branch say; otherwise an
    embedded one, kept between runs.
    """
    for each in (arguments.port, arguments.modelriver_port):
        if process.listens(each):
            raise Problem(f"port {each} is taken: stop what listens there, or choose another")
    with suppress(KeyboardInterrupt), ExitStack() as parts:
        _serve(parts, arguments.port, arguments.modelriver_port, arguments.speed)
    return 0  # Ctrl-C is how it is meant to end


def _serve(parts: ExitStack, port: int, modelriver_port: int, speed: float) -> None:
    secret = (os.environ.get("MODELRIVER_WEBHOOK_SECRET", "").split() or ["whsec-local"])[0]
    modelriver = parts.enter_context(ModelRiver(secret, port=modelriver_port))
    database = _given() or _embedded(parts, modelriver)
    url = f"http://127.0.0.1:{port}{PATH}"
    vercel = Vercel({**modelriver.settings, "DATABASE_URL": database.url})
    desk = attach_console(parts, modelriver, vercel, database.direct_url, port, speed).desk
    desk.tell(database=database.name)

    def show(message: Message) -> None:
        if line := log_line(message):
            print(line[1], flush=True)
        desk.take(message)

    vercel.on_message = show
    parts.enter_context(vercel)
    parts.enter_context(Archive(LOCAL / f"deliveries-{modelriver_port}.sqlite", desk))
    _introduce(url, modelriver, database)
    Changes(vercel, desk, database.direct_url, follows_schema=database.is_ours).follow()


def attach_console(
    parts: ExitStack,
    modelriver: ModelRiver,
    vercel: Vercel,
    database_url: str,
    port: int = 0,
    speed: float = 1.0,
) -> Forward:
    """A console on ModelRiver's port, and the way to the function on `port`, else on a free one.

    What the function logs is for whoever starts it to hand on to the desk's `take`.
    """
    port = port or process.free_port()
    receiver = Endpoint(f"http://127.0.0.1:{port}{PATH}", port)
    redelivery = parts.enter_context(Redelivery(modelriver, [receiver], speed=speed))
    desk = Desk(modelriver, redelivery, speed)
    desk.tell(speed=speed, url=receiver.url)
    Console(modelriver, desk, database_url)
    return parts.enter_context(Forward(desk, vercel, port))


def _introduce(url: str, modelriver: ModelRiver, database: _Database) -> None:
    print(f"console    {modelriver.origin}")
    print(f"function   {url}")
    print(f"database   {database.name}")
    print("In another terminal, to send to it, or to ask the database:")
    print(f"  export MODELRIVER_WEBHOOK_SECRET={modelriver.secret}")
    print(f"  export MODELRIVER_CALLBACK_ORIGINS={modelriver.origin}")
    if database.is_ours:
        print(f"  export DATABASE_URL={database.url}")
        print(f"  export DATABASE_URL_UNPOOLED={database.direct_url}")
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


def _folder() -> Path:
    """Where the rows are kept: in the project, if Postgres can get there.

    As root, Postgres runs as somebody else, to whom a home may be closed.
    """
    folder = LOCAL / "postgres"
    if os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in ROOT.parents):
        return folder
    return Path(f"/var/tmp/modelriver-{sha256(str(ROOT).encode()).hexdigest()[:8]}")
