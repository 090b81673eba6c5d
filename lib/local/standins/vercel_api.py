"""Vercel's API on one machine, as far as pull, deploy --prebuilt, inspect and remove go.

A deployment is the built function in a process of its own, with the variables that it was deployed
with, behind TLS. The platform's routes, static files and builds are not here, nor functions whose
files lie elsewhere (built without `--standalone`).
"""

import hashlib
import json
import secrets
import shutil
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

from lib.jsontext import Json
from lib.local.standins import tls
from lib.local.standins.api import Api, Object, Refused, Request
from lib.local.standins.process import NotStarted
from lib.local.standins.vercel import Vercel

TEAM, PROJECT = "team_local", "prj_local"
OUTPUT = PurePosixPath(".vercel/output")
FUNCTION = OUTPUT / "functions/api/modelriver.func"


@dataclass(slots=True)
class Deployment:
    """What was uploaded, and the instance that runs it."""

    target: str
    files: dict[str, str]
    """The hashes, by path."""
    uploaded: int
    """How many of them were not there before."""
    settings: dict[str, str]
    id: str = field(default_factory=lambda: f"dpl_{secrets.token_hex(8)}")
    host: str = ""
    instance: Vercel | None = None
    parts: ExitStack = field(default_factory=ExitStack)


class VercelApi:
    """One team with one project."""

    def __init__(self, files: Path | None = None) -> None:
        """`files` is a folder with what was uploaded before, which several may share."""
        self._given_files = files
        self.token = secrets.token_hex(12)
        self.settings: dict[str, dict[str, str]] = {"preview": {}, "production": {}}
        """The project's environment variables, by target."""
        self.deployments: dict[str, Deployment] = {}
        """By id."""
        self.authority = tls.Authority()
        self._folder = self._files = Path()
        self._arrived = 0
        """Files uploaded since the last deployment."""
        self.api = Api(self._routes(), _error, self.token)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="vercel-api-"))
        self._files = self._given_files or self._folder / "files"
        self._files.mkdir(exist_ok=True)
        self.api.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for deployment in self.deployments.values():
            deployment.parts.close()
        self.api.__exit__()
        shutil.rmtree(self._folder, ignore_errors=True)

    def environment(self, folder: Path) -> dict[str, str]:
        """What leads the CLI here, and clients of a deployment; `folder` takes their files."""
        config = folder / "com.vercel.cli" / "config.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({"api": self.api.url}))
        return {
            "XDG_DATA_HOME": str(folder),
            "VERCEL_TOKEN": self.token,
            "REQUESTS_CA_BUNDLE": str(self.authority.write(folder / "authority.pem")),
        }

    def _routes(self) -> dict[str, Callable[..., Json]]:
        team: Object = {"id": TEAM, "slug": "local", "name": "Local"}
        user: Object = {"id": "usr_local", "username": "you", "defaultTeamId": TEAM}
        deployment = "/v13/deployments/([^/]+)"
        return {
            "GET /v2/user": lambda _: {"user": {**user, "email": "you@localhost"}},
            f"GET (?:/v2)?/teams/(?:{TEAM}|local)": lambda _: team,
            "GET /v[12]/teams": lambda _: {"teams": [team], "pagination": {"count": 1}},
            "GET /v9/projects/([^/]+)": self._project,
            f"GET /v3/env/pull/{PROJECT}/([^/]+)": lambda _, target: {
                "env": {**self.settings[target]}
            },
            "POST /v2/files": self._upload,
            "POST /v13/deployments": self._deploy,
            f"GET {deployment}": lambda request, given: self._shown(
                self._deployment(request, given)
            ),
            "GET /now/deployments/([^/]+)/aliases": lambda *_: {"aliases": []},
            "DELETE /now/deployments/([^/]+)": self._remove,
        }

    def _project(self, request: Request, given: str) -> Json:
        _demand_team(request)
        if given != PROJECT:
            raise Refused(404, "Project not found", "not_found")
        return {"id": PROJECT, "name": "receiver", "accountId": TEAM, "framework": None}

    def _upload(self, request: Request) -> Json:
        digest = hashlib.sha1(request.body, usedforsecurity=False).hexdigest()
        if request.headers["x-now-digest"] != digest:
            raise Refused(400, "The digest is not the body's")
        arriving = self._folder / "arriving"
        arriving.write_bytes(request.body)
        arriving.replace(self._files / digest)
        self._arrived += 1
        return {}

    def _deploy(self, request: Request) -> Json:
        _demand_team(request)
        wanted = request.json
        listed = wanted["files"]
        assert isinstance(listed, list)
        files = {str(each["file"]): str(each["sha"]) for each in listed if isinstance(each, dict)}
        missing = sorted({sha for sha in files.values() if not (self._files / sha).exists()})
        if missing:
            raise Refused(400, "Missing files", "missing_files", {"missing": [*missing]})
        target = str(wanted.get("target") or "preview")
        given = wanted.get("env")
        settings = dict(self.settings[target])
        if isinstance(given, dict):
            settings |= {name: str(value) for name, value in given.items()}
        deployment = Deployment(target, files, self._arrived, settings)
        self._arrived = 0
        self._start(deployment)
        self.deployments[deployment.id] = deployment
        return self._shown(deployment)

    def _start(self, deployment: Deployment) -> None:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        for name, sha in deployment.files.items():
            if PurePosixPath(name).is_relative_to(FUNCTION):
                to = folder / PurePosixPath(name).relative_to(FUNCTION)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._files / sha, to)
        variables = {"VERCEL_ENV": deployment.target, **deployment.settings}
        try:
            instance = deployment.parts.enter_context(Vercel(variables, built=folder))
        except NotStarted as error:  # Vercel would find out with the first request
            raise Refused(500, str(error)) from None
        context = self.authority.context()

        def serve(plain: socket.socket) -> None:
            with context.wrap_socket(plain, server_side=True) as client:
                assert isinstance(client, ssl.SSLSocket)
                with tls.connect(instance.port) as server:
                    tls.relay(client, server, lambda: None)

        edge = deployment.parts.enter_context(tls.Edge(serve))
        deployment.instance, deployment.host = instance, f"127.0.0.1:{edge.port}"

    def _remove(self, request: Request, given: str) -> Json:
        deployment = self._deployment(request, given)
        deployment.parts.close()
        del self.deployments[deployment.id]
        return {"uid": deployment.id, "state": "DELETED"}

    def _deployment(self, request: Request, given: str) -> Deployment:
        _demand_team(request)
        for deployment in self.deployments.values():
            if given in {deployment.id, deployment.host}:
                return deployment
        raise Refused(404, "Deployment not found", "not_found")

    def _shown(self, deployment: Deployment) -> Object:
        now = int(time.time() * 1000)
        return {
            "id": deployment.id,
            "uid": deployment.id,
            "url": deployment.host,
            "name": "receiver",
            "projectId": PROJECT,
            "ownerId": TEAM,
            "target": None if deployment.target == "preview" else deployment.target,
            "readyState": "READY",
            "aliasAssigned": now,
            "alias": [],
            "createdAt": now,
            "creator": {"uid": "usr_local", "username": "you"},
            "inspectorUrl": f"https://vercel.localhost/{deployment.id}",
        }


def _demand_team(request: Request) -> None:
    if request.query.get("teamId") != TEAM:
        raise Refused(403, "Not authorized", "forbidden")


def _error(refused: Refused) -> Json:
    return {"error": {"code": refused.code, "message": refused.message, **refused.members}}
