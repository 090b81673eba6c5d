"""Neon on one machine: its API and its proxy, before an embedded Postgres.

A branch is a database, copied from its parent's. Everything runs as Postgres's superuser, whatever
the role is called, and a branch copies its parent as it is now, not as it was at a point in time.
"""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Self

import psycopg

from lib.jsontext import Json
from lib.local.standins.api import Api, Object, Refused, Request
from lib.local.standins.neon_proxy import DOMAIN, Branch, NeonProxy
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing

PROJECT = "local-project-00000001"
ROLE, DATABASE = "neondb_owner", "neondb"
SUSPEND_AFTER = 300.0
"""Seconds without a byte to or from a client."""


class Neon:
    """One project of Neon's, with the branch `main`. The data stays with the Postgres."""

    def __init__(self, postgres: Postgres, suspend_after: float = SUSPEND_AFTER) -> None:
        """`suspend_after` is in seconds."""
        self._postgres = postgres
        self.suspend_after = suspend_after
        self._parts = ExitStack()
        self._ended = threading.Event()
        self.key = f"napi_{secrets.token_hex(8)}"
        self.password = f"npg_{secrets.token_hex(8)}"
        self.projects = {PROJECT: "local"}
        """Names by id. All that there is, is in the first."""
        self.branches: dict[str, Branch] = {}
        """By id, which is also the name of the branch's database."""
        self.api = Api(self._routes(), _error, self.key)

    def __enter__(self) -> Self:
        with self._parts:
            pooled = self._postgres.port
            try:
                pgbouncer_binary()
            except PartMissing:
                pass  # then both strings are direct ones
            else:
                pooled = self._parts.enter_context(PgBouncer(self._postgres)).port
            self.proxy = NeonProxy(self.branch_at, self.password, self._postgres.port, pooled)
            self._parts.enter_context(self.proxy)
            self.add(Branch("main", None))
            self._parts.enter_context(self.api)
            self._parts.callback(self._ended.set)
            threading.Thread(target=self._scale_to_zero, daemon=True).start()
            self._parts = self._parts.pop_all()
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

    @property
    def main(self) -> Branch:
        """The branch that all others come from."""
        return next(iter(self.branches.values()))

    def named(self, name: str) -> Branch | None:
        return next((each for each in self.branches.values() if each.name == name), None)

    def branch_at(self, endpoint: str) -> Branch | None:
        return next((each for each in self.branches.values() if each.endpoint == endpoint), None)

    def url(self, branch: Branch, *, pooled: bool = False) -> str:
        """As Neon hands it out; for this machine with `PGHOSTADDR` beside it."""
        host = self._host(branch, "-pooler" if pooled else "")
        query = "sslmode=require&channel_binding=require"
        return f"postgresql://{ROLE}:{self.password}@{host}/{DATABASE}?{query}"

    def _host(self, branch: Branch, pooler: str = "") -> str:
        return f"{branch.endpoint}{pooler}.{DOMAIN}:{self.proxy.port}"

    def _routes(self) -> dict[str, Callable[..., Json]]:
        project = "/projects/([^/]+)"
        branch = f"{project}/branches/([^/]+)"
        return {
            "GET /users/me/organizations": lambda _: {"organizations": []},
            "GET /projects": lambda _: {
                "projects": [{"id": each, "name": name} for each, name in self.projects.items()]
            },
            f"GET {project}/branches": self._list,
            f"POST {project}/branches": self._create,
            f"GET {branch}": lambda _, *ids: {"branch": self._shown(self._branch(*ids))},
            f"DELETE {branch}": self._delete,
            f"GET {branch}/endpoints": lambda _, *ids: {
                "endpoints": [self._compute(self._branch(*ids))]
            },
            f"GET {branch}/roles": lambda _, *ids: {
                "roles": [{"name": ROLE, "branch_id": self._branch(*ids).id}]
            },
            f"GET {branch}/databases": lambda _, *ids: {
                "databases": [{"name": DATABASE, "branch_id": self._branch(*ids).id}]
            },
            f"GET {branch}/roles/{ROLE}/reveal_password": lambda *_: {"password": self.password},
            f"POST {project}/endpoints/([^/]+)/suspend": self._suspend,
        }

    def _project(self, given: str) -> str:
        if given not in self.projects:
            raise Refused(404, "project not found")
        return given

    def _branch(self, project: str, given: str) -> Branch:
        self._project(project)
        self.expire()
        if given not in self.branches:
            raise Refused(404, "branch not found")
        return self.branches[given]

    def _list(self, _: Request, project: str) -> Json:
        self._project(project)
        self.expire()
        return {
            "branches": [self._shown(each) for each in self.branches.values()],
            "annotations": {},
        }

    def _create(self, request: Request, project: str) -> Json:
        wanted = request.json["branch"]
        assert isinstance(wanted, dict)
        parent = self._branch(project, str(wanted["parent_id"]))
        branch = Branch("", parent.id)
        branch.name = str(wanted.get("name") or branch.id)
        if expires_at := wanted.get("expires_at"):
            branch.expires_at = str(expires_at)
        if self.named(branch.name):
            raise Refused(409, f"branch {branch.name} already exists")
        self.add(branch)
        return {
            "branch": self._shown(branch),
            "endpoints": [self._compute(branch)],
            "operations": [],
            "connection_uris": [{"connection_uri": self.url(branch)}],
        }

    def _delete(self, _: Request, *ids: str) -> Json:
        branch = self._branch(*ids)
        if branch.parent is None:
            raise Refused(422, "cannot delete the default branch of the project")
        self.remove(branch)
        return {"branch": self._shown(branch)}

    def _suspend(self, _: Request, project: str, endpoint: str) -> Json:
        self._project(project)
        branch = self.branch_at(endpoint)
        if branch is None:
            raise Refused(404, "endpoint not found")
        branch.suspend()
        return {"endpoint": self._compute(branch)}

    def add(self, branch: Branch) -> None:
        """Postgres copies only what nobody is connected to, so those who are get cut off."""
        template = branch.parent or "template0"
        allow = f'ALTER DATABASE "{template}" ALLOW_CONNECTIONS '
        cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        with self._connected() as connection:
            connection.execute(f"{allow} false".encode())
            try:
                connection.execute(cut, [template])
                connection.execute(f'CREATE DATABASE "{branch.id}" TEMPLATE "{template}"'.encode())
            finally:
                connection.execute(f"{allow} {bool(branch.parent)}".encode())
        self.branches[branch.id] = branch

    def remove(self, branch: Branch) -> None:
        del self.branches[branch.id]
        with self._connected() as connection:
            connection.execute(f'DROP DATABASE "{branch.id}" WITH (FORCE)'.encode())

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self._postgres.url(), autocommit=True)

    def expire(self) -> None:
        """Remove the branches whose time is over."""
        for branch in list(self.branches.values()):
            if branch.expires_at and datetime.fromisoformat(branch.expires_at) < datetime.now(UTC):
                self.remove(branch)

    def _scale_to_zero(self) -> None:
        while not self._ended.wait(1.0):
            for branch in list(self.branches.values()):
                idle = time.monotonic() - branch.used_at
                if not branch.suspended and idle > self.suspend_after:
                    branch.suspend()

    def _shown(self, branch: Branch) -> Object:
        return {
            "id": branch.id,
            "project_id": PROJECT,
            "parent_id": branch.parent,
            "name": branch.name,
            "default": branch.parent is None,
            "protected": False,
            "current_state": "ready",
            "created_at": branch.created_at,
            "expires_at": branch.expires_at,
        }

    def _compute(self, branch: Branch) -> Object:
        return {
            "id": branch.endpoint,
            "branch_id": branch.id,
            "project_id": PROJECT,
            "host": self._host(branch),
            "type": "read_write",
            "current_state": "idle" if branch.suspended else "active",
            "created_at": branch.created_at,
        }


def _error(refused: Refused) -> Json:
    return {"code": refused.code, "message": refused.message}
