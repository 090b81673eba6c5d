"""Deliveries that outlive a restart: a small database in one file."""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from lib.local.console.desk import WRONG_SECRET, Desk
from lib.local.console.entry import Entry

EVERY = 0.5
"""Seconds between looks at what has changed."""


class Archive:
    """Keeps a desk's deliveries in a file for as long as the `with` block, and brings them back."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._version = 0
        self._bodies: set[int] = set()
        """The numbers of those whose body is in the file: of ours, it never changes."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._desk.restore(self._kept())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._save()

    def _kept(self) -> list[Entry]:
        """What is in the file; a file that is none, or of another version, is begun anew."""
        query = "SELECT number, story, body FROM delivery ORDER BY number"
        try:
            with self._open() as connection:
                entries = [
                    Entry.of(json.loads(story), body, WRONG_SECRET)
                    for _, story, body in connection.execute(query)
                ]
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            self._path.unlink()
            return []
        self._bodies = {each.number for each in entries}
        return entries

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        os.close(os.open(self._path, os.O_CREAT, 0o600))  # AI results are nobody else's
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")  # a crash of ours loses nothing
            connection.execute(
                "CREATE TABLE IF NOT EXISTS delivery"
                " (number INTEGER PRIMARY KEY, story TEXT NOT NULL, body BLOB)"
            )
            yield connection

    def _run(self) -> None:
        while not self._closed.wait(EVERY):
            self._save()

    def _save(self) -> None:
        before = self._version
        self._version, changed, numbers = self._desk.changes(before, 0)
        if self._version == before:
            return
        with self._open() as connection:
            for entry in changed:
                changes = entry.number not in self._bodies or not entry.is_ours
                connection.execute(
                    "INSERT INTO delivery VALUES (?, ?, ?)"
                    " ON CONFLICT (number) DO UPDATE"
                    " SET story = excluded.story, body = coalesce(excluded.body, body)",
                    (entry.number, json.dumps(entry.story()), entry.body if changes else None),
                )
            self._bodies |= {entry.number for entry in changed}
            gone = [(number,) for number in self._bodies - numbers]
            connection.executemany("DELETE FROM delivery WHERE number = ?", gone)
            self._bodies &= numbers
