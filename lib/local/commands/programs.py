"""How other programs are called."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def call(
    command: Sequence[str | Path], within: float, env: Mapping[str, str], directory: Path | None
) -> "subprocess.CompletedProcess[str]":
    """What it printed, and its status. Raises subprocess.TimeoutExpired after so many seconds."""
    return subprocess.run(
        command,
        cwd=directory,
        env=dict(env),
        stdin=subprocess.DEVNULL,  # nobody is there to be asked
        capture_output=True,
        text=True,
        check=False,
        timeout=within,
    )
