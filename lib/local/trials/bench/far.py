"""The bench as deployed: TLS on both sides, and distance to the database and to ModelRiver.

The database is the stand-in for Neon, its pooled string as Neon hands it out; ModelRiver is the
sink behind TLS. Each candidate starts anew for each first delivery.
"""

import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import certifi

from lib.local.project import ROOT
from lib.local.standins import tls
from lib.local.standins.distance import __file__ as distance
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.neon import Neon
from lib.local.standins.postgres import Postgres
from lib.local.standins.vercel import Vercel
from lib.local.trials import load

WARM_UP, WARM = 5, 40
"""Deliveries of each part of a round, one at a time."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How long a round trip takes, in milliseconds."""

    name: str
    database: float
    modelriver: float

    def __str__(self) -> str:
        return f"{self.name}: {self.database} ms to the database, {self.modelriver} to ModelRiver"


NEAR, FAR = Distance("near", 2, 20), Distance("far", 25, 80)


def relay(target: int, milliseconds: float) -> AbstractContextManager[int]:
    """A port that leads to another one, a round trip of so many milliseconds away."""
    return load.listening(Path(distance), str(target), str(milliseconds / 2))


class Deployed:
    """What all candidates share."""

    def __init__(self, parts: ExitStack, away: Distance) -> None:
        """Raises PartMissing or NotStarted."""
        postgres = parts.enter_context(Postgres())
        neon = parts.enter_context(Neon(postgres))
        sink = parts.enter_context(load.sink())
        authority = tls.Authority()
        edge = parts.enter_context(tls.Edge(authority, sink))
        to_database = parts.enter_context(relay(neon.proxy.port, away.database))
        to_modelriver = parts.enter_context(relay(edge.port, away.modelriver))
        self._river = parts.enter_context(ModelRiver())
        self._origin = f"https://127.0.0.1:{to_modelriver}"
        url = neon.url(neon.main, pooled=True).replace(f":{neon.proxy.port}", f":{to_database}")
        postgres.apply_schema(neon.main.id)
        self._settings = {
            **self._river.settings,
            "MODELRIVER_CALLBACK_ORIGINS": self._origin,
            "DATABASE_URL": f"{url}&hostaddr=127.0.0.1",
            "PYTHONPATH": str(_trusting(parts, authority)),
        }

    def measure(self, root: Path, entrypoint: str) -> dict[str, float]:
        """One round of one candidate: a first delivery, then others; milliseconds."""
        first, others = self.requests(1), self.requests(WARM_UP + WARM)
        began = time.perf_counter()
        with Vercel(self.settings(root), root=root, entrypoint=entrypoint) as vercel:
            fresh = load.run([vercel.port], first, 1)
            cold = time.perf_counter() - began
            warm_up = load.run([vercel.port], others[:WARM_UP], 1)
            warm = load.run([vercel.port], others[WARM_UP:], 1)
        return {
            "warm": warm.quantile(0.5) * 1000,
            "first": fresh.quantile(1) * 1000,
            "start": cold * 1000,
            "failed": fresh.failed + warm_up.failed + warm.failed,
        }

    def settings(self, root: Path = ROOT) -> dict[str, str]:
        """The environment of a function whose files are below `root`."""
        return {**self._settings, "PYTHONPATH": f"{root}:{self._settings['PYTHONPATH']}"}

    def requests(self, count: int) -> list[bytes]:
        return load.requests(self._river, count, origin=self._origin)


def _trusting(parts: ExitStack, authority: tls.Authority) -> Path:
    """A folder whose place on the path makes a Python trust the authority, among all the others."""
    folder = Path(parts.enter_context(TemporaryDirectory()))
    bundle = authority.write(folder / "bundle.pem")
    with bundle.open("ab") as trusted:
        trusted.write(Path(certifi.where()).read_bytes())
    code = f"import certifi\ncertifi.where = lambda: {str(bundle)!r}\n"
    (folder / "sitecustomize.py").write_text(code)
    return folder
