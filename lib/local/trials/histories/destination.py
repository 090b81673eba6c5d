"""Where callbacks go in a history: bare sockets, which answer in each way that there is."""

import json
import socket
import struct
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from lib.jsontext import Json
from lib.local.standins.listener import Listener

type Key = tuple[str, str]
"""A channel, and the event or nothing: what there may be one row for."""

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def _status(number: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {number} Status", "Content-Length: 0", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Treatment:
    """How callbacks are answered."""

    pieces: tuple[bytes, ...]
    """What is sent, packet by packet."""
    status: int | None
    """The answer that this is, None where it is none."""
    answers: frozenset[int]
    """What the function may answer to the delivery, whose callbacks are all treated so."""
    delay: float = 0.0
    """Seconds before it is sent."""
    then: str = "stay"
    """`stay`, or how the connection ends: `close` or `reset`."""


_DONE, _AGAIN = frozenset({200}), frozenset({503})
TREATMENTS = {
    "taken": Treatment((_OK,), 200, _DONE),
    "taken and closed": Treatment((_OK,), 200, _DONE, then="close"),
    "taken after an informational answer": Treatment((_EARLY, _OK), 200, _DONE),
    "taken with an informational answer": Treatment((_EARLY + _OK,), 200, _DONE),
    "taken, and a second answer": Treatment((_OK + _status(500),), 200, _DONE),
    "refused": Treatment((_status(404),), 404, _DONE),
    "refused, and a second answer": Treatment((_status(410) + _OK,), 410, _DONE),
    "refused after an informational answer": Treatment((_EARLY, _status(422)), 422, _DONE),
    "redirected": Treatment((_status(302, "Location: http://127.0.0.1:1/"),), 302, _DONE),
    "error": Treatment((_status(500),), 500, _AGAIN),
    "error, and a second answer": Treatment((_status(503) + _OK,), 503, _AGAIN),
    "busy": Treatment((_status(429, "Retry-After: 0"),), 429, _AGAIN),
    "wrong key": Treatment((_status(401),), 401, _AGAIN),
    "half a status": Treatment((_OK[:11],), None, _AGAIN, then="close"),
    "a status and half a header": Treatment((_OK[:20],), 200, _DONE, then="close"),
    "reset": Treatment((), None, _AGAIN, then="reset"),
    "silence": Treatment((), None, _AGAIN),
    "informational answers alone": Treatment((_EARLY,), None, _AGAIN),
    # Of a process that hardly gets its turn, it may be read in time after all.
    "late": Treatment((_OK,), 200, _DONE | _AGAIN, delay=1.5),
}
FINAL = frozenset({200, 302, 404, 410, 422})


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it came, and the status that it was answered with, if it was."""

    key: Key
    content: dict[str, Json]
    status: int | None

    @property
    def data(self) -> dict[str, Json]:
        """The record that it carries; empty for a failure."""
        data = self.content.get("data")
        return data if isinstance(data, dict) else {}


class Destination(Listener):
    """ModelRiver's origin, for as long as the `with` block."""

    def __init__(self) -> None:
        super().__init__()
        self.treatment = TREATMENTS["taken"]
        self.callbacks: list[Callback] = []
        self.arrived = threading.Event()
        """Set with each callback."""
        self.open = threading.Event()
        """Until it is set, no callback is answered."""
        self.open.set()
        self._over = threading.Event()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, key: Key) -> str:
        return f"{self.origin}/v1/callback/{key[0]}/{key[1]}"

    def __exit__(self, *_: object) -> None:
        self._over.set()
        super().__exit__()

    def serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as incoming:
            while line := incoming.readline():
                method, target, _ = line.decode().split()
                length = 0
                while (header := incoming.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = incoming.read(length)
                if len(body) < length:
                    return
                if method == "HEAD":  # a connection that is opened ahead
                    client.sendall(_OK)
                elif not self._answer(client, urlsplit(target).path, body):
                    return

    def _answer(self, client: socket.socket, path: str, body: bytes) -> bool:
        """File the callback and answer it; whether the connection goes on."""
        treatment = self.treatment
        held = not self.open.is_set()
        channel_id, event = path.split("/")[-2:]
        status = None if held else treatment.status
        self.callbacks.append(Callback((channel_id, event), json.loads(body), status))
        self.arrived.set()
        if held:
            self.open.wait(30)
            return False
        self._over.wait(treatment.delay)
        for piece in treatment.pieces:
            client.sendall(piece)
            if piece != treatment.pieces[-1]:
                self._over.wait(0.1)  # in which another answer might be read in its place
        if treatment.then == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return treatment.then == "stay"
