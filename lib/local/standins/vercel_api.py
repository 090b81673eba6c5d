"""Vercel's API on one machine, as far as pull, deploy --prebuilt and remove go.

A deployment is the built function in a process of its own, with the variables that it was deployed
with, behind TLS. The platform's routes, static files and builds are not here, nor functions whose
files lie elsewhere (built without `--standalone`).
"""

import hashlib
import json
import secrets
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lib.jsontext import Json
from lib.local.standins.api import Api, Object, Refused, Request, Routes
from lib.local.standins.process import NotStarted
from lib.local.standins.tls import Authority, Edge
from lib.local.standins.vercel import Vercel

TEAM, PROJECT = "team_local", "prj_local"
FUNCTION = ".vercel/output/functions/api/modelriver.func/"


@dataclass(frozen=True, slots=True)
class Deployment:
    """An instance of what was uploaded, for as long as its parts are there."""

    host: str
    target: str
    settings: dict[str, str]
    parts: ExitStack


class VercelApi:
    """One team with one project."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(12)
        self.settings: dict[str, dict[str, str]] = {"preview": {}, "production": {}}
        """The project's environment variables, by target."""
        self.deployments: dict[str, Deployment] = {}
        """By host, which is the id too."""
        self.authority = Authority()
        self._files: dict[str, bytes] = {}
        """What was uploaded, by its SHA-1."""
        self.api = Api(self._routes(), self.token)

    def __enter__(self) -> Self:
        self.api.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for deployment in self.deployments.values():
            deployment.parts.close()
        self.api.__exit__()

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

    def _routes(self) -> Routes:
        """What the CLI asks for, and of each answer what it reads."""
        return {
            "GET /v2/user": lambda _: {"user": {"id": "usr_local"}},
            f"GET /teams/{TEAM}": lambda _: {"id": TEAM, "slug": "local"},
            f"GET /v9/projects/{PROJECT}": lambda _: {"id": PROJECT, "name": "receiver"},
            f"GET /v3/env/pull/{PROJECT}/([^/]+)": lambda _, target: {
                "env": {**self.settings[target]}
            },
            "POST /v2/files": self._upload,
            "POST /v13/deployments": self._deploy,
            "GET /v13/deployments/([^/]+)": lambda *given: _shown(self._deployment(*given)),
            "GET /now/deployments/([^/]+)/aliases": lambda *_: {"aliases": []},
            "DELETE /now/deployments/([^/]+)": self._remove,
        }

    def _upload(self, request: Request) -> Json:
        self._files[hashlib.sha1(request.body, usedforsecurity=False).hexdigest()] = request.body
        return {}

    def _deploy(self, request: Request) -> Json:
        _demand_team(request)
        wanted = request.json
        listed, variables = wanted["files"], wanted.get("env") or {}
        assert isinstance(listed, list)
        assert isinstance(variables, dict)
        files = {str(each["file"]): str(each["sha"]) for each in listed if isinstance(each, dict)}
        if missing := sorted({*files.values()} - {*self._files}):
            raise Refused(400, "Missing files", code="missing_files", missing=[*missing])
        target = str(wanted.get("target") or "preview")
        given = {name: str(value) for name, value in variables.items()}
        deployment = self._started(files, target, {**self.settings[target], **given})
        self.deployments[deployment.host] = deployment
        return _shown(deployment)

    def _started(self, files: dict[str, str], target: str, settings: dict[str, str]) -> Deployment:
        with ExitStack() as parts:
            folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
            for name in (name for name in files if name.startswith(FUNCTION)):
                to = folder / name.removeprefix(FUNCTION)
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(self._files[files[name]])
            variables = {"VERCEL_ENV": target, **settings}
            try:
                instance = parts.enter_context(Vercel(variables, built=folder))
            except NotStarted as error:  # Vercel would find out with the first request
                raise Refused(500, str(error)) from None
            edge = parts.enter_context(Edge(self.authority, instance.port))
            return Deployment(f"127.0.0.1:{edge.port}", target, settings, parts.pop_all())

    def _deployment(self, request: Request, given: str) -> Deployment:
        _demand_team(request)
        if deployment := self.deployments.get(given):
            return deployment
        raise Refused(404, "Deployment not found", code="not_found")

    def _remove(self, request: Request, given: str) -> Json:
        self._deployment(request, given).parts.close()
        del self.deployments[given]
        return {}


def _shown(deployment: Deployment) -> Object:
    return {
        "id": deployment.host,
        "url": deployment.host,
        "target": None if deployment.target == "preview" else deployment.target,
        "readyState": "READY",
        "aliasAssigned": True,
    }


def _demand_team(request: Request) -> None:
    if request.query.get("teamId") != TEAM:
        raise Refused(403, "Not authorized", code="forbidden")
