"""A real PgBouncer in transaction mode before a Postgres, on a loopback port."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Self

from lib.local.database import connect
from lib.local.standins import process
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")
"""Where it is installed, and an ordinary user's PATH may not lead."""


def pgbouncer_binary() -> str:
    """Raises PartMissing."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    path = shutil.which("pgbouncer", path=folders)
    if path is None:
        raise PartMissing("No PgBouncer: make parts")
    return path


class PgBouncer:
    """PgBouncer in transaction mode, as Neon's pooler is, with few connections to the server.

    It is stricter than Neon's about prepared statements and startup parameters, which is what a
    test wants.
    """

    def __init__(
        self, postgres: Postgres, server_connections: int = 2, port: int | None = None
    ) -> None:
        """It listens on `port`, or on a free one."""
        self._postgres = postgres
        self._server_connections = server_connections
        self._folder = Path()
        self._bouncer: subprocess.Popen[bytes] | None = None
        self.crashes = 0
        """How often it ended by itself."""
        self._changing = threading.Lock()
        self.port = port or process.free_port()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
        process.give_to_unprivileged_user(self._folder)
        (self._folder / "users.txt").write_text('"postgres" ""\n')
        (self._folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={self._postgres.port}\n"
            "[pgbouncer]\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {self._server_connections}\n"
            "max_client_conn = 2000\n"
            "auth_type = trust\n"
            "admin_users = postgres\n"
            f"auth_file = {self._folder}/users.txt\n"
            "listen_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\n"
            "unix_socket_dir =\n"
            "server_login_retry = 1\n"
        )
        for file in self._folder.iterdir():
            process.give_to_unprivileged_user(file)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        with self._changing:
            bouncer = self._launch()
        threading.Thread(target=self._supervise, args=(bouncer,), daemon=True).start()

    def stop(self) -> None:
        """Stop it at once: every client is cut off."""
        with self._changing:
            bouncer, self._bouncer = self._bouncer, None
            if bouncer:
                process.stop(bouncer, signal.SIGTERM)

    def processes(self) -> list[int]:
        return [self._bouncer.pid] if self._bouncer else []

    def statements(self, database: str = "postgres") -> int:
        """How many statements have passed to a database so far."""
        with connect(self.url("pgbouncer")) as console:
            totals = console.pgconn.exec_(b"SHOW STATS_TOTALS")  # the console takes no parameters
        column = [totals.fname(each) for each in range(totals.nfields)].index(b"query_count")
        return sum(
            int(totals.get_value(row, column) or 0)
            for row in range(totals.ntuples)
            if totals.get_value(row, 0) == database.encode()
        )

    def connections(self, database: str = "postgres") -> int:
        """How many connections clients have opened to a database so far."""
        return (self._folder / "pgbouncer.log").read_text().count(f"login attempt: db={database} ")

    def freeze(self) -> None:
        if self._bouncer:
            self._bouncer.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._bouncer:
            self._bouncer.send_signal(signal.SIGCONT)

    def _launch(self) -> "subprocess.Popen[bytes]":
        log = self._folder / "pgbouncer.log"
        bouncer = self._bouncer = process.start(
            [pgbouncer_binary(), self._folder / "pgbouncer.ini"],
            log=log,
            user=process.unprivileged_user(),
        )
        process.wait_for(lambda: process.listens(self.port), "PgBouncer", bouncer, log)
        return bouncer

    def _supervise(self, bouncer: "subprocess.Popen[bytes]") -> None:
        """Start it again where it ended by itself, as a service manager does.

        Debian's 1.18 may crash over a cancel request (pgbouncer/pgbouncer#822). It lives as long
        as this thread, which started it.
        """
        while True:
            bouncer.wait()
            with self._changing:
                if self._bouncer is not bouncer:
                    return
                self.crashes += 1
                bouncer = self._launch()
