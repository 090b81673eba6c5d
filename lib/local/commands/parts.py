"""`make parts`: what the tests and stand-ins need besides Python, from the system's packages."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from lib.local.problem import Problem
from lib.local.standins.browser import chromium_binary
from lib.local.standins.pgbouncer import pgbouncer_binary
from lib.local.standins.process import PartMissing


def npm() -> str:
    """Raises PartMissing."""
    path = shutil.which("npm")
    if path is None:
        raise PartMissing("No Node.js: make parts")
    return path


@dataclass(frozen=True, slots=True)
class Part:
    """A program, and the packages that it is in."""

    name: str
    find: Callable[[], str]
    """Where it is. Raises PartMissing."""
    apt: tuple[str, ...]
    brew: tuple[str, ...]

    @property
    def place(self) -> str | None:
        try:
            return self.find()
        except PartMissing:
            return None


CHROMIUM = Part("Chromium", chromium_binary, ("chromium",), ("chromium",))
PARTS = (
    Part("PgBouncer", pgbouncer_binary, ("pgbouncer",), ("pgbouncer",)),
    Part("Node.js", npm, ("nodejs", "npm"), ("node",)),
    CHROMIUM,
)


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Takes none."""


def run(_: argparse.Namespace) -> int:
    """Install what is missing, and say where each part is. Raises Problem where one stays missing.

    As root, and in CI, nothing is asked. Otherwise what needs root is said, and not done.
    """
    if missing := _missing():
        _install(missing)
    if missing := _missing():
        raise Problem(f"{_names(missing)}: install it by hand, so that it is in the PATH")
    for part in PARTS:
        print(f"{part.name:<10} {part.place}")
    return 0


def _missing() -> list[Part]:
    return [part for part in PARTS if part.place is None]


def _names(parts: list[Part]) -> str:
    return ", ".join(part.name for part in parts)


def _install(missing: list[Part]) -> None:
    """By the package manager that there is, each by itself, so that one that fails stops no other.

    Chromium is no package everywhere: then Playwright brings its own.
    """
    if shutil.which("apt-get"):
        root = _root(missing)
        _call(*root, "apt-get", "update", "-qq")
        unasked = [*root, "env", "DEBIAN_FRONTEND=noninteractive"]
        for part in missing:
            _call(*unasked, "apt-get", "install", "-qq", "-y", *part.apt)
    elif shutil.which("brew"):
        for part in missing:
            _call("brew", "install", "--quiet", *part.brew)
    if CHROMIUM.place is None:
        libraries = ["--with-deps"] if shutil.which("apt-get") else []
        _call(sys.executable, "-m", "playwright", "install", *libraries, "chromium")


def _root(missing: list[Part]) -> list[str]:
    """What a command begins with to run as root. Raises Problem where that must be asked for."""
    if os.geteuid() == 0:
        return []
    if os.environ.get("CI") == "true" and shutil.which("sudo"):
        return ["sudo", "-n"]
    packages = " ".join(package for part in missing for package in part.apt)
    raise Problem(f"{_names(missing)}: this needs root: sudo apt-get install {packages}")


def _call(*command: str) -> None:
    """Whether it succeeded is seen by what is there afterwards."""
    print(f"$ {' '.join(command)}", flush=True)
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
