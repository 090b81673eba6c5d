"""The real `vercel build`, of a copy: it writes into the project that it builds.

No login is needed; npm and the network are, the first time, for the CLI itself.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lib.local.problem import Problem
from lib.local.project import LOCAL, ROOT
from lib.local.standins.process import PartMissing

CLI_VERSION = "64.0.2"
NPM_TRIES = 3
"""A registry may be out of reach for a moment."""
FUNCTION = Path("functions/api/modelriver.func")
MAX_MEGABYTES = 40
"""What the function's bundle may come to; Vercel allows 250."""


def cli() -> Path:
    """The Vercel CLI, installed below .local at its first use. Raises PartMissing."""
    folder = LOCAL / f"vercel-cli-{CLI_VERSION}"
    program = folder / "node_modules" / ".bin" / "vercel"
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "vercel-cli.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes may want it at once
        if not program.exists():
            _install(folder)
    return program


def _install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise PartMissing("No Node.js: make parts")
    # The version of sandbox that the CLI asks for does not install; a build does not need it.
    package = {
        "private": True,
        "dependencies": {"vercel": CLI_VERSION},
        "overrides": {"sandbox": "4.5.0"},
    }
    unfinished = LOCAL / "vercel-cli-unfinished"  # half of it must not pass for the whole
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir()
    (unfinished / "package.json").write_text(json.dumps(package))
    _npm_install(unfinished)
    unfinished.rename(folder)


def _npm_install(folder: Path) -> None:
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    for _ in range(NPM_TRIES):
        done = subprocess.run(
            ["npm", "install", *options], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
    raise PartMissing(f"npm cannot install the Vercel CLI:\n{done.stderr[-1000:]}")


def environment() -> dict[str, str]:
    """What the CLI is started with: the real interpreter first, since a shim would mislead it."""
    path = [str(Path(sys.base_prefix) / "bin"), str(Path(sys.prefix) / "bin"), os.environ["PATH"]]
    dropped = {"PYENV_VERSION", "VIRTUAL_ENV", "PYTHONPATH"}
    return {
        **{name: value for name, value in os.environ.items() if name not in dropped},
        "PATH": os.pathsep.join(path),
        "VERCEL_TELEMETRY_DISABLED": "1",
    }


def copy_project(to: Path, *, link: bool = True) -> Path:
    """Copy what git tracks or would track; `link` adds the settings of a linked project."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise PartMissing("No git checkout, which would say what belongs to the project")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    if not link:
        return to
    (to / ".vercel").mkdir(parents=True)
    project = {"projectId": "prj_local", "orgId": "team_local", "settings": {}}
    (to / ".vercel" / "project.json").write_text(json.dumps(project))
    return to


def build(project: Path) -> Path:
    """Build a copied project; the folder with the output. Raises Problem where it fails."""
    config = json.loads((project / "vercel.json").read_text())
    done = subprocess.run(
        [cli(), "build", "--yes", "--standalone"],
        cwd=project,
        # Vercel sets the variables of `build.env` before a build of its own.
        env={**environment(), **config.get("build", {}).get("env", {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Problem(f"vercel build failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return project / ".vercel" / "output"


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(_: argparse.Namespace) -> int:
    """Build, and say what would be deployed. Raises Problem."""
    folder = LOCAL / "build"
    shutil.rmtree(folder, ignore_errors=True)
    output = build(copy_project(folder))
    function = output / FUNCTION
    settings = json.loads((function / ".vc-config.json").read_text())
    static = sorted(str(path.relative_to(output / "static")) for path in _files(output / "static"))
    print(f"function   {function.relative_to(ROOT)}")
    print(f"           {settings['runtime']}, {settings['memory']} MB, {settings['maxDuration']} s")
    print(f"           {megabytes(function):.1f} MB of {MAX_MEGABYTES} that it may come to")
    print(f"static     {', '.join(static)}")
    return 0


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
