"""What is deployed is pinned, wholly, and installs on each Python that Vercel offers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.prefix) / "bin" / "uv"
PINS = (ROOT / "requirements.txt").read_text().splitlines()


def uv(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([UV, *arguments], capture_output=True, text=True, check=False)


def test_every_line_is_a_pin() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+(\[[a-z]+\])?==[0-9.]+", line) for line in PINS)


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_the_pins_install_together_and_lack_nothing(tmp_path: Path, version: str) -> None:
    """With nothing resolved anew: what is installed is what is pinned."""
    target = ("--target", str(tmp_path), "--python-version", version, "--only-binary", ":all:")
    done = uv("pip", "install", *target, "--requirements", str(ROOT / "requirements.txt"))
    assert done.returncode == 0, done.stderr
    installed = uv("pip", "freeze", "--path", str(tmp_path)).stdout.splitlines()
    assert sorted(installed) == sorted(re.sub(r"\[.*\]", "", line) for line in PINS)
