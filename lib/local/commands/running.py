"""Where `make dev` runs just now, for `make send` to find it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lib.local.project import LOCAL
from lib.local.standins.process import listens

FOLDER = LOCAL / "dev"
"""In it has each one its own folder, by the console's port."""
STANDIN_SECRET = "whsec-local"
"""Of the stand-in ModelRiver, where no other is given: everybody may know it."""


@dataclass(frozen=True, slots=True)
class Running:
    """What others need of it; no secret."""

    url: str
    console: str
    has_own_secret: bool
    """Whether its secret is the stand-in's, which is no secret."""

    @classmethod
    def now(cls) -> "Running | None":
        """The one that was started last, of those that answer."""
        files = sorted(FOLDER.glob("*/running.json"), key=lambda file: -file.stat().st_mtime)
        for file in files:
            with suppress(OSError, ValueError, TypeError):  # half-written, or of another version
                told = cls(**json.loads(file.read_text(encoding="utf-8")))
                if listens(urlsplit(told.url).port or 0):
                    return told
        return None

    def variables(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a sender: what is sent to it is called back at its own stand-in."""
        own = {"MODELRIVER_WEBHOOK_SECRET": STANDIN_SECRET} if self.has_own_secret else {}
        return {**given, **own, "MODELRIVER_CALLBACK_ORIGINS": self.console}

    @property
    def folder(self) -> Path:
        """What it keeps from run to run."""
        return FOLDER / str(urlsplit(self.console).port)

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Can be found for as long as the `with` block."""
        file = self.folder / "running.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
