"""ModelRiver's side of a callback: the server that takes it, and what it should look like."""

import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal

from lib.jsontext import Json

if TYPE_CHECKING:
    from lib.local.standins.modelriver import ModelRiver

CALLBACK_PATH = "/v1/callback/"


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it was received."""

    channel_id: str
    headers: Mapping[str, str]
    content: Mapping[str, Json]
    problems: tuple[str, ...]
    """In what it is not as ModelRiver documents it."""
    answered: int
    received_at: float
    """Unix seconds."""
    taken: bool
    """Whether ModelRiver acts on it, though the answer may have been lost on its way back."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a callback is answered."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the answer."""
    reset: Literal["", "before", "after"] = ""
    """Reset the connection instead of answering, before or after the callback was taken."""
    taken: bool = True
    """Whether ModelRiver acts on a callback that it does not answer."""
    close_quietly: bool = False
    """After the answer, close the kept-alive connection without having said so."""


def shape_problems(content: Mapping[str, Json]) -> list[str]:
    """In what a callback's payload is neither a success nor a failure as documented."""
    if "error" in content:
        expected = {"error": "processing_failed", "message": content.get("message")}
        return [] if content == expected and content["message"] else ["malformed failure"]
    match content:
        case {
            "data": {"id": str(record_id), "saved_at": str()},
            "task_id": str(task_id),
            "metadata": {"database": "neon", "table": "ai_content", "record_id": str(same_id)},
        } if len(content) == 3:
            same = task_id == f"neon_{record_id}" and same_id == record_id
            return [] if same else ["ids that differ"]
    return ["malformed success"]


class CallbackServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    modelriver: "ModelRiver"
    connections = 0

    def get_request(self) -> tuple[socket.socket, object]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients that break off are part of the play."""


class CallbackHandler(BaseHTTPRequestHandler):
    server: CallbackServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if pages := self.server.modelriver.pages:
            pages(self)
        else:
            self.send_error(404)

    def do_HEAD(self) -> None:
        """What a receiver connects ahead with."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        pages = self.server.modelriver.pages
        if pages and not self.path.startswith(CALLBACK_PATH):
            pages(self)
            return
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it died
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        treatment = self.server.modelriver.take(self.path, headers, body)
        if treatment.reset != "before":
            self.server.modelriver.on_callback(self.path.removeprefix(CALLBACK_PATH))
        if treatment.delay:
            time.sleep(treatment.delay)
        if treatment.reset:
            # With no time to linger, close() resets the connection.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        self.send_response(treatment.status)
        for name, value in treatment.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = self.close_connection or treatment.close_quietly

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library has it
        """Nothing: what matters is kept in `callbacks`."""
