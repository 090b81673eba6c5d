"""All parts together, as on Neon and Vercel: Postgres, the pooler, ModelRiver, the function."""

from contextlib import ExitStack
from functools import cached_property
from typing import Self

from psycopg.rows import DictRow

from lib.local.database import Connection, connect
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.pgbouncer import PgBouncer, pgbouncer_binary
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing
from lib.local.standins.vercel import ENTRYPOINT, Vercel


class Stack(ExitStack):
    """The parts, for as long as the `with` block; what else is to end with them may be entered.

    The function is started by `serve`, as often as instances are wanted.
    """

    def __init__(
        self,
        modelriver: ModelRiver | None = None,
        postgres: Postgres | None = None,
        pgbouncer: PgBouncer | None = None,
        *,
        database: str = "postgres",
        server_connections: int | None = None,
    ) -> None:
        """Parts that are given run already, and go on running; all others are started.

        With `server_connections`, PgBouncer has so many to Postgres, and must be installed.
        Without, it is left out where it is not, and the function connects directly.
        """
        super().__init__()
        self._given = modelriver, postgres, pgbouncer
        self._database = database
        self._server_connections = server_connections
        self._pgbouncer: PgBouncer | None = None
        self.instances: list[Vercel] = []
        """Of the function, in the order in which they were started."""

    def __enter__(self) -> Self:
        """Raises PartMissing or NotStarted."""
        super().__enter__()
        modelriver, postgres, pgbouncer = self._given
        with ExitStack() as started:  # ends what runs already, where the next does not start
            self.postgres = postgres or started.enter_context(Postgres())
            self.postgres.apply_schema(self._database)
            self._pgbouncer = pgbouncer or self._pooler(started)
            self.modelriver = modelriver or started.enter_context(ModelRiver())
            self.push(started.pop_all())
        return self

    def _pooler(self, started: ExitStack) -> PgBouncer | None:
        try:
            pgbouncer_binary()
        except PartMissing:
            if self._server_connections is None:
                return None
            raise
        return started.enter_context(PgBouncer(self.postgres, self._server_connections or 2))

    @property
    def pgbouncer(self) -> PgBouncer:
        """Raises PartMissing where it was left out."""
        if self._pgbouncer is None:
            raise PartMissing("No PgBouncer: make parts")
        return self._pgbouncer

    @property
    def direct_url(self) -> str:
        return self.postgres.url(self._database)

    @property
    def url(self) -> str:
        """Of the database, as the function connects to it."""
        return self._pgbouncer.url(self._database) if self._pgbouncer else self.direct_url

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables that make a function one of this stack."""
        return {**self.modelriver.settings, "DATABASE_URL": self.url}

    @property
    def vercel(self) -> Vercel:
        """The first instance of the function."""
        return self.instances[0]

    def serve(self, entrypoint: str = ENTRYPOINT, **settings: str) -> Vercel:
        """Start one more instance of the function, with these settings instead of the stack's."""
        vercel = Vercel({**self.settings, **settings}, entrypoint=entrypoint)
        self.instances.append(self.enter_context(vercel))
        return vercel

    @cached_property
    def connection(self) -> Connection:
        """A direct connection to the database, which ends with the stack."""
        return self.enter_context(connect(self.direct_url))

    def rows(self, channel_id: str) -> list[DictRow]:
        """A channel's rows."""
        query = "SELECT * FROM ai_content WHERE channel_id = %s"
        return self.connection.execute(query, [channel_id]).fetchall()

    def count(self) -> int:
        """How many rows there are."""
        return len(self.connection.execute("SELECT FROM ai_content").fetchall())
