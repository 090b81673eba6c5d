"""ModelRiver on your desk: the function, a database and a console, to work with.

The function starts anew whenever a file of it changes. The embedded database follows
sql/schema.sql in the same way.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lib.local.commands import schema
from lib.local.commands.cli import LOCAL
from lib.local.console.desk import Desk
from lib.local.console.server import Console
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import PROJECT, Neon
from lib.local.standins.pgbouncer import pooled
from lib.local.standins.postgres import SCHEMA, Postgres
from lib.local.standins.proxy import Proxy
from lib.local.standins.redelivery import Endpoint, Redelivery
from lib.local.standins.vercel import PATH, ROOT, Message, Vercel, log_line

SCHEMA_WITHIN = 60.0
"""Seconds for comparing or applying the schema; a given database may not answer at all."""
WATCHED = ("api/*.py", "lib/*.py", "sql/schema.sql")


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


def run(
    environment: Mapping[str, str], port: int, modelriver_port: int, speed: float, *, neon: bool
) -> None:
    """Serve until interrupted. Raises RuntimeError where a port is taken.

    With DATABASE_URL in the environment that database is used, a Neon branch say; otherwise an
    embedded one, kept between runs. With `neon` it is a stand-in for Neon, which keeps nothing. At
    a `speed` of 20, a minute of ModelRiver's redelivery passes in 3 s.
    """
    for each in (port, modelriver_port):
        if process.listens(each):
            raise RuntimeError(f"port {each} is taken: stop what listens there, or choose another")
    with ExitStack() as parts:
        database = _on_neon(parts) if neon else _given(environment) or _embedded(parts)
        secret = (environment.get("MODELRIVER_WEBHOOK_SECRET", "").split() or ["whsec-local"])[0]
        modelriver = parts.enter_context(ModelRiver(secret, port=modelriver_port))
        url = f"http://127.0.0.1:{port}{PATH}"
        receivers = [Endpoint(url, port)]
        redelivery = parts.enter_context(Redelivery(modelriver, receivers, speed=speed))
        desk = Desk(modelriver, redelivery, speed)
        desk.tell(url=url, database=database.name, speed=speed)
        Console(modelriver, desk, database.direct_url)

        def show(message: Message) -> None:
            if line := log_line(message):
                print(line[1], flush=True)
            desk.take(message)

        vercel = Vercel({**modelriver.settings, "DATABASE_URL": database.url})
        vercel.on_message = show
        parts.enter_context(vercel)
        proxy = parts.enter_context(Proxy(vercel.port, listen_on=port))
        _introduce(url, modelriver, database)
        _Watch(vercel, proxy, desk, database).run()


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


class _Watch:
    """Looks after the files, and starts anew what they are for."""

    def __init__(self, vercel: Vercel, proxy: Proxy, desk: Desk, database: _Database) -> None:
        self._vercel = vercel
        self._proxy = proxy
        self._desk = desk
        self._database = database

    def run(self) -> None:
        """Until interrupted."""
        state = _state()
        self._desk.tell(function="running", reason="", started_at=time.time())
        self._follow_schema("--check")
        while True:
            time.sleep(0.2)
            if (now := _state()) != state:
                changed = {path for path, _ in now.items() ^ state.items()}
                state = now
                self._renew(changed)

    def _renew(self, changed: set[Path]) -> None:
        if SCHEMA in changed and self._database.is_ours:
            self._follow_schema()
        if changed != {SCHEMA}:
            self._restart()
            self._follow_schema("--check")

    def _restart(self) -> None:
        self._desk.tell(function="starting", reason="")
        self._vercel.stop()
        try:
            self._vercel.start()
        except RuntimeError as error:  # half-written, perhaps; the next change tells
            print(error, flush=True)
            end = "\n".join(str(error).splitlines()[-6:])
            self._desk.tell(function="down", reason=end)
        else:
            self._proxy.target = self._vercel.port
            print("started anew", flush=True)
            self._desk.tell(function="running", reason="", started_at=time.time())

    def _follow_schema(self, *options: str) -> None:
        agrees, said = self._schema(*options)
        if not agrees or not options:
            print(said, flush=True)
        self._desk.tell(schema="" if agrees else said)

    def _schema(self, *options: str) -> tuple[bool, str]:
        """Whether it agrees, and what was said: in a process of its own, which reads files anew."""
        try:
            done = subprocess.run(
                [sys.executable, "-m", "lib.local", "schema", *options],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL_UNPOOLED": self._database.direct_url},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=SCHEMA_WITHIN,
            )
        except subprocess.TimeoutExpired:
            return False, f"The database did not answer within {SCHEMA_WITHIN:.0f} s."
        # Of a traceback, say of a half-written file, the last line tells what is wrong.
        said = done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]
        return done.returncode == 0, said


def _state() -> dict[Path, int]:
    state = {}
    for path in (path for pattern in WATCHED for path in ROOT.glob(pattern)):
        with suppress(FileNotFoundError):  # gone meanwhile, or an editor's dangling lock
            state[path] = path.stat().st_mtime_ns
    return state


def _given(environment: Mapping[str, str]) -> _Database | None:
    url = environment.get("DATABASE_URL")
    if not url:
        return None
    direct_url = environment.get("DATABASE_URL_UNPOOLED") or url
    return _Database(schema.place(url), url, direct_url, is_ours=False)


def _embedded(parts: ExitStack) -> _Database:
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = parts.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"another make dev is using {folder}: stop it first") from None
    postgres = parts.enter_context(Postgres(folder))
    postgres.apply_schema()
    url = pooled(postgres, parts)
    through = "" if url == postgres.url() else ", through PgBouncer"
    return _Database(f"Postgres in {folder}{through}", url, postgres.url(), is_ours=True)


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
