"""The variables that commands go by: those of the shell, and behind them those of `.env`."""

import os
from collections.abc import Callable, Mapping

from dotenv import dotenv_values

from lib.errors import Misconfigured
from lib.local.problem import Problem
from lib.local.project import ROOT

FILE = ROOT / ".env"


def environment() -> dict[str, str]:
    """The shell's win, also where they are empty. Raises Problem where the file is not text."""
    try:
        kept = dotenv_values(FILE, interpolate=False)
    except UnicodeDecodeError as error:
        raise Problem(f".env is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise Problem(f"cannot read .env: {error.strerror}") from None
    return {**{name: value for name, value in kept.items() if value}, **os.environ}


def setting[T](read: Callable[[Mapping[str, str]], T], variables: Mapping[str, str]) -> T:
    """What the function would read there (lib/settings.py). Raises Problem where it could not."""
    try:
        return read(variables)
    except Misconfigured as error:
        raise Problem(error.reason) from None
