"""What is deployed is pinned, wholly, and installs on each Python that Vercel offers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLI = ROOT / "lib" / "local" / "commands" / "cli"
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


def test_the_command_line_tools_are_locked_to_no_registry() -> None:
    lock = json.loads((CLI / "package-lock.json").read_text())
    wanted = json.loads((CLI / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


INPUTS = {
    "actions/checkout": {"persist-credentials", "ref"},
    "actions/setup-node": {"node-version", "package-manager-cache"},
    "actions/setup-python": {"python-version-file"},
    "neondatabase/schema-diff-action": {"project_id", "api_key", "compare_branch", "database"},
}
"""Of what each action takes, what may be given here: GitHub ignores an input that there is not."""
STEP = re.compile(r"uses: ([^@\s]+)@[0-9a-f]{40} # v[0-9.]+\n +with:\n((?: {10}[a-z_-]+: .*\n)+)")


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")))
def test_actions_are_pinned_and_given_what_they_take(workflow: Path) -> None:
    text = workflow.read_text()
    steps = STEP.findall(text)
    assert len(steps) == text.count("uses:")
    for action, given in steps:
        assert set(re.findall(r"^ +([a-z_-]+):", given, re.MULTILINE)) <= INPUTS[action]
