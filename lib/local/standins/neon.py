"""Neon on one machine: its API and its proxy, before an embedded Postgres.

A branch is a database, copied from its parent's. Everything runs as Postgres's superuser, whatever
the role is called, and a branch copies its parent as it is now, not as it was at a point in time.
"""

import secrets
import threading
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Self

from lib.jsontext import Json
from lib.local.database import connect
from lib.local.standins.api import Api, Object, Refused, Request, Routes
from lib.local.standins.neon_proxy import DATABASE, DOMAIN, ROLE, Branch, NeonProxy
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing

PROJECT = "local-project-00000001"
SUSPEND_AFTER = 300.0
"""Seconds without a byte to or from a client."""


class Neon:
    """One project of Neon's, with the branch `main`. The data stays with the Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.suspend_after = SUSPEND_AFTER
        self._parts = ExitStack()
        self._ended = threading.Event()
        self.key = f"napi_{secrets.token_hex(8)}"
        self.password = f"npg_{secrets.token_hex(8)}"
        self.projects = {PROJECT: "local"}
        """Names by id. All that there is, is in the first."""
        self.main = Branch("main", None)
        """The branch that all others come from."""
        self.branches: dict[str, Branch] = {}
        """By id, which is also the name of the branch's database."""
        self.api = Api(self._routes(), self.key)

    def __enter__(self) -> Self:
        with ExitStack() as parts:
            direct = pooled = self._postgres.port
            with suppress(PartMissing):  # without it, both strings are direct ones
                pgbouncer_binary()
                pooled = parts.enter_context(PgBouncer(self._postgres)).port
            self.proxy = NeonProxy(self.branches, self.password, direct, pooled)
            parts.enter_context(self.proxy)
            self.add(self.main)
            parts.enter_context(self.api)
            parts.callback(self._ended.set)
            threading.Thread(target=self._scale_to_zero, daemon=True).start()
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def environment(self) -> dict[str, str]:
        """What leads neonctl here, and libpq, whatever a host is called."""
        return {
            "NEON_API_HOST": self.api.url,
            "NEON_API_KEY": self.key,
            "NEON_PROJECT_ID": PROJECT,
            "PGHOSTADDR": "127.0.0.1",
        }

    def named(self, name: str) -> Branch | None:
        return next((each for each in self.branches.values() if each.name == name), None)

    def url(self, branch: Branch, *, pooled: bool = False) -> str:
        """As Neon hands it out; for this machine with `PGHOSTADDR` beside it."""
        host = f"{branch.endpoint}{'-pooler' if pooled else ''}.{DOMAIN}:{self.proxy.port}"
        query = "sslmode=require&channel_binding=require"
        return f"postgresql://{ROLE}:{self.password}@{host}/{DATABASE}?{query}"

    def _routes(self) -> Routes:
        project = "/projects/([^/]+)"
        branch = f"{project}/branches/([^/]+)"
        return {
            "GET /users/me/organizations": lambda _: {"organizations": []},
            "GET /projects": lambda _: {
                "projects": [{"id": each, "name": name} for each, name in self.projects.items()]
            },
            f"GET {project}/branches": self._list,
            f"POST {project}/branches": self._create,
            f"GET {branch}(?:/.*)?": lambda _, *ids: self._told(self._branch(*ids)),
            f"DELETE {branch}": self._delete,
        }

    def _told(self, branch: Branch) -> Object:
        """All that neonctl reads of a branch, at whatever path: it takes what it asked for."""
        host = f"{branch.endpoint}.{DOMAIN}:{self.proxy.port}"
        compute = {"id": branch.endpoint, "branch_id": branch.id}
        return {
            "branch": {
                "id": branch.id,
                "parent_id": branch.parent,
                "name": branch.name,
                "default": branch is self.main,
                "expires_at": branch.expires_at,
            },
            "endpoints": [{**compute, "host": host, "type": "read_write"}],
            "roles": [{"name": ROLE}],
            "databases": [{"name": DATABASE}],
            "password": self.password,
        }

    def _in_project(self, project: str) -> dict[str, Branch]:
        if project not in self.projects:
            raise Refused(404, "project not found")
        self.expire()
        return self.branches

    def _list(self, _: Request, project: str) -> Json:
        found = self._in_project(project).values()
        return {"branches": [self._told(each)["branch"] for each in found], "annotations": {}}

    def _branch(self, project: str, given: str) -> Branch:
        if branch := self._in_project(project).get(given):
            return branch
        raise Refused(404, "branch not found")

    def _create(self, request: Request, project: str) -> Json:
        wanted = request.json["branch"]
        assert isinstance(wanted, dict)
        parent = self._branch(project, str(wanted["parent_id"]))
        expires_at = wanted.get("expires_at")
        branch = Branch("", parent.id, str(expires_at) if expires_at else None)
        branch.name = str(wanted.get("name", branch.id))
        if self.named(branch.name):
            raise Refused(409, f"branch {branch.name} already exists")
        self.add(branch)
        return self._told(branch)

    def _delete(self, _: Request, *ids: str) -> Json:
        branch = self._branch(*ids)
        if branch is self.main:
            raise Refused(422, "cannot delete the default branch of the project")
        self.remove(branch)
        return self._told(branch)

    def add(self, branch: Branch) -> None:
        """Postgres copies only what nobody is connected to, so those who are get cut off."""
        template = branch.parent or "template1"
        allow = f'ALTER DATABASE "{template}" ALLOW_CONNECTIONS '
        cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        with connect(self._postgres.url()) as connection:
            connection.execute(f"{allow} false".encode())
            try:
                connection.execute(cut, [template])
                connection.execute(f'CREATE DATABASE "{branch.id}" TEMPLATE "{template}"'.encode())
            finally:
                connection.execute(f"{allow} true".encode())
        self.branches[branch.id] = branch

    def remove(self, branch: Branch) -> None:
        del self.branches[branch.id]
        with connect(self._postgres.url()) as connection:
            connection.execute(f'DROP DATABASE "{branch.id}" WITH (FORCE)'.encode())

    def expire(self) -> None:
        """Remove the branches whose time is over."""
        for branch in list(self.branches.values()):
            if branch.expires_at and datetime.fromisoformat(branch.expires_at) < datetime.now(UTC):
                self.remove(branch)

    def _scale_to_zero(self) -> None:
        while not self._ended.wait(1.0):
            for branch in list(self.branches.values()):
                if time.monotonic() - branch.used_at > self.suspend_after:
                    branch.suspend()
