"""The command line tools of Neon and Vercel, as `package-lock.json` beside this file has them.

npm installs them below `.local` at their first use, for which Node.js and the network are needed.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lib.local.commands.programs import call
from lib.local.problem import Problem
from lib.local.project import LOCAL
from lib.local.standins.process import PartMissing

LOCKED = ("package.json", "package-lock.json")
NPM_TRIES = 3
"""A registry may be out of reach for a moment."""
ENDS_WITHIN = 900
"""Seconds for a program."""
SAID = 3
"""The last lines of what a program said that are shown where it failed."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|DATABASE_URL")
_CONNECTION_STRING = re.compile(r"postgres(ql)?://\S+")
_DECORATION = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|^(ERROR|Error): ")
_REMEDIES = {
    r"interactive auth": "set NEON_API_KEY, or sign in with `neonctl auth`",
    r"(?i)project not found": "is NEON_PROJECT_ID, or VERCEL_PROJECT_ID, right?",
    r"(?i)limit.* (exceeded|reached)": "delete what is not needed any more, or ask for more",
}
"""What to do about what the programs say, where they do not say it themselves."""


class Failed(Problem):
    """The message is one line: what was called, and the end of what it said, without secrets."""


def program(name: str) -> Path:
    """Where `neonctl` or `vercel` is, installed if need be. Raises PartMissing."""
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / each).read_bytes() for each in LOCKED)).hexdigest()
    folder = LOCAL / f"cli-{digest[:12]}"
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "cli.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # several processes may want it at once
        if not folder.exists():
            unfinished = LOCAL / "cli-unfinished"  # half of it must not pass for the whole
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            for each in LOCKED:
                shutil.copy(here / each, unfinished)
            _install(unfinished)
            unfinished.rename(folder)
    return folder / "node_modules" / ".bin" / name


def _install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise PartMissing("No Node.js: make parts")
    # The optional packages are the same programs, compiled for each platform.
    options = ("--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    for _ in range(NPM_TRIES):
        try:
            done = call(["npm", "ci", *options], ENDS_WITHIN, os.environ, folder)
        except subprocess.TimeoutExpired:
            raise PartMissing(f"npm did not end within {ENDS_WITHIN} s") from None
        if done.returncode == 0:
            return
    raise PartMissing(f"npm cannot install neonctl and vercel:\n{done.stderr[-1000:]}")


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the programs are started with: this project's own Python and uv first on the PATH."""
    # The real interpreter before all, since a shim would mislead the builder.
    own = (Path(sys.base_prefix) / "bin", Path(sys.prefix) / "bin")
    path = [*map(str, own), given.get("PATH", os.defpath)]
    dropped = {"PYENV_VERSION", "VIRTUAL_ENV", "PYTHONPATH"}
    return {
        **{name: value for name, value in given.items() if name not in dropped},
        "PATH": os.pathsep.join(path),
        "VERCEL_TELEMETRY_DISABLED": "1",
        "CI": "1",  # nobody is there to be asked, or shown a browser
    }


def run(name: str, *arguments: str, env: Mapping[str, str], directory: Path | None = None) -> str:
    """What the program printed. Raises Failed, or PartMissing where it cannot be had.

    `env` comes from `environment`.
    """
    command = [str(program(name)), *arguments]
    called = " ".join((name, *arguments[:2]))
    try:
        done = call(command, ENDS_WITHIN, env, directory)
    except subprocess.TimeoutExpired:
        raise Failed(f"{called}: not done within {ENDS_WITHIN} s") from None
    if done.returncode:
        raise Failed(f"{called}: {_told(done.stdout + done.stderr, env)}")
    return done.stdout.strip()


def _told(output: str, env: Mapping[str, str]) -> str:
    """The last lines in one, and what to do about them."""
    for name, value in env.items():
        if _SECRET.search(name) and value:
            output = output.replace(value, "***")
    output = _CONNECTION_STRING.sub("postgresql://***", output)
    lines = (_DECORATION.sub("", line).strip() for line in output.splitlines())
    said = " ".join([line for line in lines if line][-SAID:]) or "no word of why"
    remedies = [what for pattern, what in _REMEDIES.items() if re.search(pattern, said)]
    return "; ".join([said, *remedies])
