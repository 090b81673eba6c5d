"""Answers as servers out there give them, on sockets of our own: none may be another's."""

import ctypes
import io
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
import trustme
from urllib3.connection import HTTPConnection

from lib import callback, callback_connection
from lib.callback import Callbacks
from lib.errors import CallbackRefused, CallbackUnavailable
from lib.local.until import until
from lib.settings import origin
from tests.support import release

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %08d\r\n\r\n"
BODY = b"x" * (io.DEFAULT_BUFFER_SIZE - len(HEAD % 0))
BUFFERFUL = HEAD % len(BODY) + BODY
"""What follows it in one TLS record is left where nobody sees it but who reads on."""
BROKEN = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"
SO_ATTACH_FILTER = 26

type Answer = Callable[[socket.socket, int], None]
"""Answers the n-th request of all, on the connection that it came on."""


class Server:
    """Reads requests whole, and has each answered as it is told."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self._answer, self._context = answer, context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/v1/callback/c"
        self.connections: list[socket.socket] = []
        self.requests: list[object] = []
        self._counting = threading.Lock()
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self._listener.close()
        for each in self.connections:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._context:
                    client = self._context.wrap_socket(client, server_side=True)
                self.connections.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("rb") as incoming:
            while line := incoming.readline():
                length = 0
                while line.strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    line = incoming.readline()
                with self._counting:
                    self.requests.append(json.loads(incoming.read(length) or "null"))
                    number = len(self.requests)
                self._answer(client, number)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, Callbacks]]]:
    opened: list[tuple[Server, Callbacks]] = []

    def start(answer: Answer, context: ssl.SSLContext | None = None) -> tuple[Server, Callbacks]:
        server = Server(answer, context)
        opened.append((server, Callbacks("mr-key", {origin(server.url)})))
        return opened[-1]

    yield start
    for server, callbacks in opened:
        server.close()
        release(callbacks)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "ANSWER_TIMEOUT", 0.3)


type Serve = Callable[..., tuple[Server, Callbacks]]


def in_turn(*answers: bytes) -> Answer:
    """Answers the first request with the first of them, and so on; those after that as the last."""

    def answer(client: socket.socket, number: int) -> None:
        client.sendall(answers[min(number, len(answers)) - 1])

    return answer


def informational(*statuses: int) -> bytes:
    return b"".join(b"HTTP/1.1 %d Wait\r\nLink: </a>\r\n\r\n" % status for status in statuses)


@pytest.mark.parametrize(
    "statuses", [(100,), (102,), (103,), (102, 100, 103, 103), (199,)], ids=str
)
def test_an_informational_answer_is_none(serve: Serve, statuses: tuple[int, ...]) -> None:
    server, callbacks = serve(in_turn(informational(*statuses) + OK, BROKEN))
    callbacks.send(server.url, {}, timeout=10)
    with pytest.raises(CallbackUnavailable, match="HTTP 500"):
        callbacks.send(server.url, {}, timeout=10)
    assert len(server.connections) == 1


def test_a_final_answer_that_comes_later_than_an_informational_one(serve: Serve) -> None:
    """The 103 in a packet of its own, read before the final answer is sent."""

    def answer(client: socket.socket, number: int) -> None:
        client.sendall(informational(103))
        server.over.wait(0.2)  # more or less of it changes nothing
        client.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n" if number == 1 else OK)

    server, callbacks = serve(answer)
    with pytest.raises(CallbackRefused, match="HTTP 404"):
        callbacks.send(server.url, {}, timeout=10)
    callbacks.send(server.url, {}, timeout=10)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("statuses", [(103,), (101,)])
def test_an_informational_answer_alone_is_no_answer(serve: Serve, statuses: tuple[int]) -> None:
    server, callbacks = serve(in_turn(informational(*statuses)))
    with pytest.raises(CallbackUnavailable, match="ConnectionError"):
        callbacks.send(server.url, {}, timeout=10)
    assert len(server.requests) == 2


def test_no_answer_is_waited_for_longer_than_told(serve: Serve) -> None:
    server, callbacks = serve(lambda *_: None)
    with pytest.raises(CallbackUnavailable, match=r"^no answer in time$"):
        callbacks.send(server.url, {}, timeout=0.3)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n64\r\n"]
)
def test_an_answer_whose_body_does_not_come_is_an_answer(serve: Serve, head: bytes) -> None:
    server, callbacks = serve(in_turn(b"HTTP/1.1 200 OK\r\n" + head + b"x"))
    callbacks.send(server.url, {}, timeout=8)  # less than an answer's headers are waited for


def test_nothing_is_waited_for_after_an_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_connection, "BODY_TIMEOUT", 60)
    server, callbacks = serve(in_turn(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
    callbacks.send(server.url, {}, timeout=10)


def test_an_answer_whose_body_does_not_end_is_an_answer(serve: Serve) -> None:
    def answer(client: socket.socket, _: int) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                client.sendall(b"x" * 65536)

    server, callbacks = serve(answer)
    callbacks.send(server.url, {}, timeout=8)


def test_what_the_library_would_log_is_not_shown(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """It quotes URLs."""
    caplog.set_level("DEBUG")
    server, callbacks = serve(lambda client, _: client.shutdown(socket.SHUT_RDWR))
    with pytest.raises(CallbackUnavailable, match="ConnectionError"):
        callbacks.send(server.url, {}, timeout=8)
    assert caplog.messages == []


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize("size", [b"-5", b"zz", b"f" * 70_000])
def test_a_chunk_of_a_senseless_size(serve: Serve, status: int, size: bytes) -> None:
    head = b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status
    server, callbacks = serve(in_turn(head + size + b"\r\nx\r\n"))
    if status == 200:
        callbacks.send(server.url, {}, timeout=10)
    else:
        with pytest.raises(CallbackRefused if status == 404 else CallbackUnavailable):
            callbacks.send(server.url, {}, timeout=10)


@pytest.mark.parametrize(
    "body", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nx\r\n"]
)
def test_an_answer_whose_body_is_broken_is_an_answer(serve: Serve, body: bytes) -> None:
    def answer(client: socket.socket, _: int) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" + body)
        client.shutdown(socket.SHUT_RDWR)

    server, callbacks = serve(answer)
    callbacks.send(server.url, {}, timeout=10)


@pytest.fixture(params=["plain", "TLS"])
def context(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    if request.param == "plain":
        return None
    authority = trustme.CA()
    secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secured)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "authority.pem"))
    return secured


@pytest.mark.parametrize(
    "first",
    [
        OK + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 204 None\r\n\r\n" + OK,
        OK + b"HTTP/1.1 200",
        OK + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + OK * 5000,
        b"HTTP/1.1 200 OK\r\n\r\n" + OK,
        BUFFERFUL + OK,
        OK.ljust(io.DEFAULT_BUFFER_SIZE, b"x") + OK,
    ],
    ids=lambda first: f"{first[15:55]!r}+{len(first)}",
)
def test_what_follows_an_answer_is_nobodys(
    serve: Serve, context: ssl.SSLContext | None, first: bytes
) -> None:
    server, callbacks = serve(in_turn(first, BROKEN), context)
    callbacks.send(server.url, {}, timeout=10)
    with pytest.raises(CallbackUnavailable, match="HTTP 500"):
        callbacks.send(server.url, {}, timeout=10)


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_comes_too_late_is_nobodys(
    serve: Serve, context: ssl.SSLContext | None
) -> None:
    """The first callback is given up; its 200 comes when the second one has been sent."""
    second_is_there = threading.Event()

    def answer(client: socket.socket, number: int) -> None:
        if number <= 2:  # both tries of the first callback
            second_is_there.wait(10)
            client.sendall(OK)
        else:
            second_is_there.set()
            client.sendall(BROKEN)

    server, callbacks = serve(answer, context)
    with pytest.raises(CallbackUnavailable, match="ConnectionError"):
        callbacks.send(server.url, {"first": True}, timeout=10)
    with pytest.raises(CallbackUnavailable, match="HTTP 500"):
        callbacks.send(server.url, {"first": False}, timeout=10)


def test_a_callback_that_is_given_up_before_its_turn_is_not_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "MAX_CONCURRENT", 1)
    given_up = threading.Event()

    def answer(client: socket.socket, _: int) -> None:
        given_up.wait(10)
        client.sendall(OK)

    server, callbacks = serve(answer)
    first = threading.Thread(target=callbacks.send, args=(server.url, {"n": 1}, 10))
    first.start()
    assert until(lambda: server.requests)
    with pytest.raises(CallbackUnavailable):
        callbacks.send(server.url, {"n": 2}, timeout=0.1)
    given_up.set()
    first.join()
    callbacks.send(server.url, {"n": 3}, timeout=10)
    assert server.requests == [{"n": 1}, {"n": 3}]


request_id: ContextVar[str] = ContextVar("request_id")


def test_a_callback_belongs_to_its_request(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """On whatever thread it is sent: Vercel files metrics by a context variable of its own."""
    seen: list[str | None] = []
    original = requests.adapters.HTTPAdapter.send

    def send(*arguments: Any, **options: Any) -> requests.Response:
        seen.append(request_id.get(None))
        return original(*arguments, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    server, callbacks = serve(in_turn(OK))
    request_id.set("r-1")
    callbacks.send(server.url, {}, timeout=10)
    assert seen == ["r-1"]


def test_a_connection_ahead_is_opened_by_one_request(serve: Serve) -> None:
    server, callbacks = serve(in_turn(BROKEN, OK))
    callbacks.connect_ahead()
    callbacks.send(server.url, {}, timeout=10)
    assert server.requests == [None, {}]


def test_a_connection_ahead_that_says_nothing_is_not_waited_for_long(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "CONNECT_TIMEOUT", 0.3)
    server, callbacks = serve(lambda client, number: client.sendall(OK[: number // 2 * len(OK)]))
    callbacks.connect_ahead()
    assert until(lambda: server.requests)
    callbacks.send(server.url, {}, timeout=8)  # less than an answer is waited for


def test_between_the_tries_there_is_time_to_recover(serve: Serve) -> None:
    asked: list[float] = []

    def answer(client: socket.socket, _: int) -> None:
        asked.append(time.monotonic())
        client.sendall(OK if asked[-1] > asked[0] + 0.25 else BROKEN)

    server, callbacks = serve(answer)
    callbacks.send(server.url, {}, timeout=10)


def test_whether_more_has_come_is_looked_for_without_waiting() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK)
        response = HTTPConnection.response_class(ours)
        response.begin()
        response.read()
        assert ours.gettimeout() == 0


def test_a_slow_answer_is_waited_for(serve: Serve) -> None:
    """As long as sockets of ModelRiver's own sample receivers are used to: it is sent once."""

    def answer(client: socket.socket, _: int) -> None:
        server.over.wait(8)
        client.sendall(OK)

    server, callbacks = serve(answer)
    callbacks.send(server.url, {}, timeout=24)
    assert len(server.requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can drop packets for us")
def test_connections_that_were_dropped_in_silence(serve: Serve) -> None:
    """Twelve kept connections, on which nothing is confirmed any more: all callbacks arrive."""
    together = threading.Barrier(12)

    def answer(client: socket.socket, number: int) -> None:
        if number <= 12:
            together.wait(10)
        client.sendall(OK)

    server, callbacks = serve(answer)

    def twelve() -> None:
        threads = [threading.Thread(target=send) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    accepted: list[bool] = []

    def send() -> None:
        callbacks.send(server.url, {}, timeout=5)
        accepted.append(True)

    twelve()
    assert len(server.connections) == 12
    for each in list(server.connections):
        deaf(each)
    twelve()
    assert len(accepted) == 24
    assert len(server.connections) == 24


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone lists a process's sockets")
def test_a_kept_connection_that_has_died_is_noticed_within_twelve_seconds(serve: Serve) -> None:
    server, callbacks = serve(in_turn(OK))
    callbacks.send(server.url, {}, timeout=10)
    ours = socket_at(server.connections[0].getpeername())
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, user_timeout, no_delay = (
        ours.getsockopt(socket.IPPROTO_TCP, option)
        for option in (
            socket.TCP_KEEPIDLE,
            socket.TCP_KEEPINTVL,
            socket.TCP_USER_TIMEOUT,  # one probe without an answer is enough then (tcp(7))
            socket.TCP_NODELAY,
        )
    )
    assert 0 < user_timeout / 1000 < idle + interval < 12
    assert no_delay
    ours.close()


def socket_at(address: tuple[str, int]) -> socket.socket:
    """A duplicate of the socket that this process has at an address."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it may be closed meanwhile
            if not link.readlink().name.startswith("socket:"):
                continue
            each = socket.socket(fileno=os.dup(int(link.name)))
            if each.family == socket.AF_INET and each.getsockname() == address:
                return each
            each.close()
    raise AssertionError(f"no socket at {address}")


def deaf(sock: socket.socket) -> None:
    """Have the kernel drop what comes in, before TCP confirms it (socket(7), SO_ATTACH_FILTER)."""
    drop_all = ctypes.create_string_buffer(b"\x06\0\0\0\0\0\0\0")  # BPF: return 0 bytes

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(1, ctypes.addressof(drop_all))
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))
    except PermissionError:
        pytest.skip("this kernel lets only root drop packets")
