"""Where `make dev` runs just now, for `make send` to find it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from lib.local.project import LOCAL
from lib.local.standins.process import listens

FILE = LOCAL / "dev.json"
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
        """The one that was started last, if it still answers."""
        try:
            told = cls(**json.loads(FILE.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return told if listens(urlsplit(told.url).port or 0) else None

    def variables(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of a sender: what is sent to it is called back at its own stand-in."""
        own = {"MODELRIVER_WEBHOOK_SECRET": STANDIN_SECRET} if self.has_own_secret else {}
        return {**given, **own, "MODELRIVER_CALLBACK_ORIGINS": self.console}

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Can be found for as long as the `with` block."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(json.dumps(asdict(self)), encoding="utf-8")
        try:
            yield
        finally:
            FILE.unlink(missing_ok=True)
