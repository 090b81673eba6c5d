"""The database that `make dev` works on: a given one, an embedded one, or a stand-in for Neon."""

import argparse
import fcntl
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lib.local.commands import schema
from lib.local.database import is_here, place
from lib.local.environment import setting
from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins import process
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import PROJECT, Neon
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.stack import Stack
from lib.settings import database_url


@dataclass(frozen=True, slots=True)
class Database:
    """What the function gets, and what a person is told."""

    name: str
    """For a person to read, without a password."""
    url: str
    direct_url: str
    embedded: Postgres | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """What leads neonctl to it."""


def choose(
    parts: ExitStack,
    modelriver: ModelRiver,
    variables: Mapping[str, str],
    arguments: argparse.Namespace,
) -> Database:
    """As `make dev` was asked for it. Raises Problem."""
    if arguments.neon:
        return _on_neon(parts)
    return _given(variables, is_meant=arguments.remote) or _embedded(parts, modelriver)


def _given(variables: Mapping[str, str], *, is_meant: bool) -> Database | None:
    if not variables.get("DATABASE_URL"):
        return None
    url = setting(database_url, variables)
    name = "DATABASE_URL_UNPOOLED" if variables.get("DATABASE_URL_UNPOOLED") else "DATABASE_URL"
    direct_url = setting(lambda given: database_url(given, name), variables)
    for each in (url, direct_url):
        if not is_meant and not is_here(each):
            print(f"{place(each)} is not on this machine, and is left alone: --remote uses it")
            return None
    return Database(place(url), url, direct_url)


def _embedded(parts: ExitStack, modelriver: ModelRiver) -> Database:
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
    return Database(f"Postgres in {folder}{through}", stack.url, stack.direct_url, postgres)


def _on_neon(parts: ExitStack) -> Database:
    postgres = parts.enter_context(Postgres())
    neon = parts.enter_context(Neon(postgres))
    # Its hosts have no address of their own.
    pooled_url, direct_url = (
        f"{neon.url(neon.main, pooled=each)}&hostaddr=127.0.0.1" for each in (True, False)
    )
    schema.apply(direct_url)
    name = f"stand-in for Neon, project {PROJECT}, branch main"
    return Database(name, pooled_url, direct_url, postgres, neon.environment)


def _folder() -> Path:
    """Where the rows are kept: in the project, if Postgres can get there.

    As root, Postgres runs as somebody else, to whom a home may be closed.
    """
    folder = LOCAL / "postgres"
    LOCAL.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or process.is_open_to_others(LOCAL):
        return folder
    return Path(f"/var/tmp/modelriver-{sha256(str(ROOT).encode()).hexdigest()[:8]}")
