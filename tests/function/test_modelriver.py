"""HTTP's rough edges, byte by byte, against the function on the real runtime."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from api import modelriver as function
from lib.local.standins.modelriver import Delivery
from lib.local.standins.stack import Stack
from lib.local.until import until
from tests.support import new_channel

PATH = "/api/modelriver"


def connect(stack: Stack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.vercel.port), timeout=40)


def answer(client: socket.socket, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    response = HTTPResponse(client, method=method)
    response.begin()
    return response.status, {n.lower(): v for n, v in response.getheaders()}, response.read()


def send(stack: Stack, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    with connect(stack) as client:
        for piece in pieces:
            client.sendall(piece)
        return answer(client)


def head(delivery: Delivery, *lines: str, method: str = "POST") -> bytes:
    headers = [f"{name}: {value}" for name, value in delivery.headers.items()]
    return "\r\n".join([f"{method} {PATH} HTTP/1.1", "Host: x", *headers, *lines, "", ""]).encode()


@pytest.fixture
def delivery(stack: Stack) -> Delivery:
    return stack.modelriver.sign(stack.modelriver.event({"title": "t"}, channel_id=new_channel()))


def stored(stack: Stack, delivery: Delivery) -> bool:
    return len(stack.rows(json.loads(delivery.body)["channel_id"])) == 1


def chunk(data: bytes, size: str | None = None) -> bytes:
    return (
        f"{len(data):x}".encode() + b"\r\n" + data + b"\r\n"
        if size is None
        else (size.encode() + b"\r\n" + data + b"\r\n")
    )


def test_health(stack: Stack) -> None:
    for method in ("GET", "HEAD"):
        with connect(stack) as client, client.makefile("rb") as received:
            client.sendall(f"{method} {PATH} HTTP/1.0\r\n\r\n".encode())
            head, _, body = received.read().partition(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        assert b"Content-Length: 15" in head
        assert body == (b'{"status":"ok"}' if method == "GET" else b"")


@contextmanager
def plain_server() -> Iterator[int]:
    """The port of the function in this process, on the library's own server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), function.handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join()


def test_health_of_a_misconfigured_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process; the runtime's own is in tests/stack/test_answers.py."""
    monkeypatch.setattr(function.WEBHOOK, "misconfigured", "DATABASE_URL is missing")
    with plain_server() as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", PATH)
        response = connection.getresponse()
        assert response.status == 500
        assert json.loads(response.read()) == {"error": "Server misconfigured"}
        connection.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(stack: Stack, delivery: Delivery, method: str) -> None:
    length = f"Content-Length: {len(delivery.body)}"
    status, headers, body = send(stack, head(delivery, length, method=method), delivery.body)
    assert status == 405
    assert headers["allow"] == "GET, HEAD, POST"
    assert json.loads(body) == {"error": "Method not allowed"}
    assert not stored(stack, delivery)


def test_what_a_handler_does_not_have_is_named() -> None:
    with pytest.raises(AttributeError, match=r"^nothing$"):
        function.handler.__new__(function.handler).nothing  # noqa: B018


def test_no_length(stack: Stack, delivery: Delivery) -> None:
    status, _, body = send(stack, head(delivery), delivery.body)
    assert (status, json.loads(body)) == (411, {"error": "Length required"})


def test_an_encoding_that_is_not_chunked(stack: Stack, delivery: Delivery) -> None:
    status, _, _ = send(stack, head(delivery, "Transfer-Encoding: gzip"), delivery.body)
    assert status == 411


@pytest.mark.parametrize("length", ["-1", "+5", "abc", "1e3", "0x10", "", "5, 5", "\u00b2"])
def test_a_malformed_length(stack: Stack, delivery: Delivery, length: str) -> None:
    lines = head(delivery, f"Content-Length: {length}").decode().encode("latin-1")
    status, headers, body = send(stack, lines, delivery.body)
    assert (status, json.loads(body)) == (400, {"error": "Invalid body"})
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize("size", [4_400_000, 4_613_734, 4_718_592])
def test_a_large_body_is_stored(stack: Stack, size: int) -> None:
    c, river = new_channel(), stack.modelriver
    event = river.event({"title": "large", "text": ""}, channel_id=c)
    room = size - len(river.sign(event).body)
    event = river.event(
        {"title": "large", "text": "x" * room}, channel_id=c, timestamp=event["timestamp"]
    )
    large = river.sign(event)
    assert len(large.body) == size
    assert river.deliver(stack.vercel.url, large).status == 200
    assert len(stack.rows(c)[0]["ai_data"]["text"]) == room
    data = river.callbacks_for(c)[0].content["data"]
    assert isinstance(data, dict)
    assert len(str(data["text"])) == room


@pytest.mark.parametrize("size", [4_718_593, 4_823_450, 9_000_000])
def test_a_body_that_is_too_large(stack: Stack, size: int) -> None:
    """The whole of it is sent before the answer is read, as many clients do."""
    too_large = stack.modelriver.sign(b"x" * size)
    reply = stack.modelriver.deliver(stack.vercel.url, too_large)
    assert (reply.status, reply.json) == (413, {"error": "Body too large"})


def test_a_length_may_begin_with_noughts(stack: Stack, delivery: Delivery) -> None:
    body = delivery.body
    assert send(stack, head(delivery, f"Content-Length: {len(body):020}"), body)[0] == 200
    chunks = chunk(body, f"{len(body):020x}") + b"0" * 20 + b"\r\n\r\n"
    assert send(stack, head(delivery, "Transfer-Encoding: chunked"), chunks)[0] == 200


def test_a_length_beyond_all_bounds(stack: Stack, delivery: Delivery) -> None:
    status, _, _ = send(stack, head(delivery, f"Content-Length: {'9' * 4000}"), b"x")
    assert status == 413


def test_chunked(stack: Stack, delivery: Delivery) -> None:
    body = delivery.body
    pieces = [
        head(delivery, "Transfer-Encoding: Chunked"),
        chunk(body[:1]),
        f"{len(body) - 1:X};name=value\r\n".encode() + body[1:100],
        body[100:] + b"\r\n0\r\nTrailer: dropped\r\n",
        b"\r\n",
    ]
    assert send(stack, *pieces)[0] == 200
    assert stored(stack, delivery)


def test_chunked_byte_by_byte(stack: Stack, delivery: Delivery) -> None:
    whole = head(delivery, "Transfer-Encoding: chunked")
    whole += chunk(delivery.body[:70]) + chunk(delivery.body[70:]) + b"0\r\n\r\n"
    with connect(stack) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            client.sendall(bytes([byte]))
        assert answer(client)[0] == 200
    assert stored(stack, delivery)


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"3X\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcdef\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 10_000 + b"\r\nabc\r\n0\r\n\r\n",
        b"\xff\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_a_malformed_chunk(stack: Stack, delivery: Delivery, body: bytes) -> None:
    status, _, content = send(stack, head(delivery, "Transfer-Encoding: chunked"), body)
    assert (status, json.loads(content)) == (400, {"error": "Invalid body"})


@pytest.mark.parametrize("body", [b"A00000\r\n", b"fffffffff\r\n", b"f" * 40 + b"\r\n"])
def test_a_chunk_that_is_too_large(stack: Stack, delivery: Delivery, body: bytes) -> None:
    assert send(stack, head(delivery, "Transfer-Encoding: chunked"), body)[0] == 413


def test_chunks_that_are_too_large_together(stack: Stack, delivery: Delivery) -> None:
    many = chunk(b"x" * 1_000_000) * 5 + b"0\r\n\r\n"
    assert send(stack, head(delivery, "Transfer-Encoding: chunked"), many)[0] == 413


def test_chunks_that_are_too_large_to_read_to_their_end(stack: Stack, delivery: Delivery) -> None:
    many = chunk(b"x" * 1_000_000) * 9 + b"F4240\r\n"
    assert send(stack, head(delivery, "Transfer-Encoding: chunked"), many)[0] == 413


def test_two_requests_on_one_socket(stack: Stack, delivery: Delivery) -> None:
    """The first is answered, and what follows it is not taken for something else."""
    request = head(delivery, f"Content-Length: {len(delivery.body)}") + delivery.body
    with connect(stack) as client:
        client.sendall(request + request)
        assert answer(client)[0] == 200
    assert stored(stack, delivery)


def cut_short(stack: Stack) -> int:
    """How many deliveries the log says this of, so far."""
    return sum('"reason":"cut short"' in line for line in stack.vercel.log)


def test_half_a_body_and_gone(stack: Stack, delivery: Delivery) -> None:
    before = cut_short(stack)
    with connect(stack) as client:
        client.sendall(head(delivery, f"Content-Length: {len(delivery.body)}") + delivery.body[:99])
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[0] == 400
    with connect(stack) as client:
        client.sendall(head(delivery, f"Content-Length: {len(delivery.body)}") + delivery.body[:99])
    with connect(stack) as client:
        client.sendall(head(delivery, "Transfer-Encoding: chunked") + b"3\r\nab")
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[0] == 400
    assert until(lambda: cut_short(stack) == before + 3)
    assert not stored(stack, delivery)


def is_read(client: socket.socket) -> bool:
    """Whether the other side has taken all that was sent to it, as Linux tells."""
    ends = [client.getpeername()[1], client.getsockname()[1]]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, _, queues, *_ = line.split()
        if [int(address.partition(":")[2], 16) for address in (here, there)] == ends:
            return int(queues.partition(":")[2], 16) == 0
    return False


def test_half_a_body_and_reset(stack: Stack, delivery: Delivery) -> None:
    before = cut_short(stack)
    with connect(stack) as client:
        client.sendall(head(delivery, f"Content-Length: {len(delivery.body)}") + delivery.body[:99])
        assert until(lambda: is_read(client))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert until(lambda: cut_short(stack) == before + 1)


def test_gone_before_the_answer(stack: Stack, delivery: Delivery) -> None:
    with connect(stack) as client:
        client.sendall(head(delivery, f"Content-Length: {len(delivery.body)}") + delivery.body)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert until(lambda: stored(stack, delivery))


def silent_client(stack: Stack, request: bytes) -> Callable[[], bytes]:
    client = connect(stack)
    client.sendall(request)

    def rest() -> bytes:
        received = b""
        with client:
            while piece := client.recv(65536):
                received += piece
        return received

    return rest


def test_clients_that_stop_and_stay_are_let_go(stack: Stack, delivery: Delivery) -> None:
    length = f"Content-Length: {len(delivery.body)}"
    waiting = {
        "in the body": silent_client(stack, head(delivery, length) + delivery.body[:99]),
        "in a chunk": silent_client(
            stack, head(delivery, "Transfer-Encoding: chunked") + b"3\r\na"
        ),
        "in the headers": silent_client(stack, head(delivery)[:40]),
        "before the request": silent_client(stack, b""),
    }
    received = {where: rest() for where, rest in waiting.items()}
    assert received["in the body"].split(b" ")[1] == b"408"
    assert received["in a chunk"].split(b" ")[1] == b"408"
    assert until(lambda: sum('"reason":"silent"' in line for line in stack.vercel.log) == 2)
    assert received["in the headers"] == received["before the request"] == b""
    assert stack.vercel.output == ""


def test_what_the_runtime_cannot_read_comes_first(stack: Stack) -> None:
    """The first answer tells of the process's start, for which the runtime reads the path again."""
    with Stack(stack.modelriver, stack.postgres, stack.pgbouncer) as fresh:
        fresh.serve()
        assert send(fresh, b"GET http://[/x HTTP/1.1\r\n\r\n")[0] == 400


def test_white_space_around_a_header(stack: Stack, delivery: Delivery) -> None:
    padded = {name: f"{value} \t" for name, value in delivery.headers.items()}
    request = head(Delivery(padded, b""), f"Content-Length: {len(delivery.body)} ")
    assert send(stack, request, delivery.body)[0] == 200
    assert stored(stack, delivery)


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("length", "body", "reason"),
    [
        ("X: y", b"", "neither Content-Length nor chunked"),
        ("Content-Length: x", b"", "malformed length"),
        ("Content-Length: 99999999", b"", "declared"),
        ("Content-Length: 4718593", b"x" * 4_718_593, "read"),
        ("Content-Length: 9437184", b"x" * 9_437_184, "read"),
        ("Content-Length: 4", b"abc", "cut short"),
        (CHUNKED, b"zz\r\n", "malformed length"),
        (CHUNKED, b"3\r\nabcd\r\n", "malformed chunk"),
        (CHUNKED, b"3", "malformed chunk"),
        (CHUNKED, b"3\r\nab", "cut short"),
        (CHUNKED, chunk(b"x" * 1_048_576) * 9 + b"0\r\n\r\n", "read"),
        (CHUNKED, chunk(b"x" * 1_000_000) * 9 + b"f4240\r\n", "chunked"),
    ],
    ids=str,
)
def test_what_the_log_says_of_a_body_that_cannot_be_read(
    stack: Stack, delivery: Delivery, length: str, body: bytes, reason: str
) -> None:
    before = len(stack.vercel.log)
    with connect(stack) as client:
        client.sendall(head(delivery, length) + body)
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[0] >= 400
    assert until(lambda: any(f'"reason":"{reason}"' in line for line in stack.vercel.log[before:]))


LONG = "x" * 70_000


@pytest.mark.parametrize(
    ("request_head", "status", "error"),
    [
        ("\x16\x03\x01\x02\0\x01\0\x01\xfc", 400, "Bad Request"),
        ("BREW", 400, "Bad Request"),
        ("POST /", 400, "Bad Request"),
        ("POST / HTTP/one", 400, "Bad Request"),
        (f"POST {PATH} HTTP/2.0", 505, "HTTP Version Not Supported"),
        (f"POST {PATH} HTTP/1.1\r\nX: {LONG}", 431, "Request Header Fields Too Large"),
        (f"POST {PATH} HTTP/1.1" + "\r\nX: y" * 200, 431, "Request Header Fields Too Large"),
        ("GET http://[/x HTTP/1.1", 400, "Bad Request"),
    ],
)
def test_what_the_library_answers_by_itself(
    stack: Stack, request_head: str, status: int, error: str
) -> None:
    answered, headers, body = send(stack, f"{request_head}\r\n\r\n".encode("latin-1"))
    assert (answered, json.loads(body)) == (status, {"error": error})
    assert headers["content-type"] == "application/json"
    assert stack.vercel.output == ""


def test_a_request_line_without_end() -> None:
    """The runtime cuts it; a plain server of the library's says that it is too long."""
    with plain_server() as port, socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(f"GET /{LONG} HTTP/1.1\r\n\r\n".encode())
        assert answer(client)[0] == 414


def test_the_rest_of_the_stack_is_not_disturbed(stack: Stack, delivery: Delivery) -> None:
    assert stack.modelriver.deliver(stack.vercel.url, delivery).status == 200
    assert stored(stack, delivery)
