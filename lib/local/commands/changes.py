"""What `make dev` does when a file changes."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lib.local.commands.programs import call
from lib.local.console.desk import Desk
from lib.local.console.verdict import broken_file
from lib.local.project import ROOT
from lib.local.standins.postgres import SCHEMA, Postgres
from lib.local.standins.process import NotStarted
from lib.local.standins.vercel import Vercel

SCHEMA_WITHIN = 60.0
"""Seconds for comparing or applying the schema; a given database may not answer at all."""
WATCHED = ("api/*.py", "lib/*.py", "sql/schema.sql")


class Changes:
    """Looks after the files, and starts anew what they are for."""

    def __init__(
        self, vercel: Vercel, desk: Desk, database_url: str, embedded: Postgres | None
    ) -> None:
        """The schema is compared with the database at each change, and applied to an embedded one.

        That is started again, too, should it have ended.
        """
        self._vercel = vercel
        self._desk = desk
        self._database_url = database_url
        self._embedded = embedded

    def follow(self) -> None:
        """Until interrupted."""
        state = _state()
        self._desk.tell(function="running", reason="", started_at=time.time())
        self._follow_schema("--check")
        while True:
            time.sleep(0.2)
            self._revive()
            if (now := _state()) != state:
                changed = {path for path, _ in now.items() ^ state.items()}
                state = now
                self._renew(changed)

    def _renew(self, changed: set[Path]) -> None:
        if SCHEMA in changed and self._embedded:
            self._follow_schema()
        # Where it does not start, the schema's check would find the same file broken again.
        if changed != {SCHEMA} and self._restart():
            self._follow_schema("--check")

    def _revive(self) -> None:
        if self._embedded is None or self._embedded.is_running:
            return
        try:
            self._embedded.start()
        except NotStarted as error:
            self._desk.tell(trouble=f"Postgres is gone: {str(error).splitlines()[-1]}")
        else:
            print("Postgres ended, and was started again", flush=True)
            self._desk.tell(trouble="")

    def _restart(self) -> bool:
        """Whether the function runs again."""
        self._desk.tell(function="starting", reason="")
        self._vercel.stop()
        try:
            self._vercel.start()
        except NotStarted as error:  # half-written, perhaps; the next change tells
            print(error, flush=True)
            self._desk.tell(function="down", reason=broken_file(str(error)))
            return False
        print("started anew", flush=True)
        self._desk.tell(function="running", reason="", started_at=time.time())
        return True

    def _follow_schema(self, *options: str) -> None:
        agrees, said = self._schema(*options)
        if not agrees or not options:
            print(said, flush=True)
        self._desk.tell(schema="" if agrees else said)

    def _schema(self, *options: str) -> tuple[bool, str]:
        """Whether it agrees, and what was said: in a process of its own, which reads files anew."""
        command = (sys.executable, "-m", "lib.local", "schema", *options)
        variables = {**os.environ, "DATABASE_URL_UNPOOLED": self._database_url}
        try:
            done = call(command, SCHEMA_WITHIN, variables, ROOT)
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
