"""The real `vercel build`, of a copy: it writes into the project that it builds.

No login is needed.
"""

import argparse
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lib.local.commands import cli
from lib.local.project import LOCAL, ROOT
from lib.local.standins.process import PartMissing

FUNCTION = Path("functions/api/modelriver.func")
MAX_MEGABYTES = 40
"""What the function's bundle may come to; Vercel allows 250."""


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


def build(project: Path, *options: str, env: Mapping[str, str] | None = None) -> Path:
    """Build a copied project; the folder with the output. Raises cli.Failed where it fails.

    The same sources in the same folder come to the same bytes.
    """
    config = json.loads((project / "vercel.json").read_text())
    # Vercel sets the variables of `build.env` before a build of its own.
    variables = {**(env or cli.environment()), **config.get("build", {}).get("env", {})}
    cli.run("vercel", "build", "--yes", "--standalone", *options, env=variables, directory=project)
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
