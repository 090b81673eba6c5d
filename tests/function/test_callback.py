import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest
import responses
import trustme
from requests.exceptions import ConnectTimeout

from lib.callback import ANSWER_TIMEOUT, CONNECT_TIMEOUT, Callbacks, failure, success
from lib.callback_connection import BODY_TIMEOUT
from lib.errors import CallbackRefused, CallbackUnavailable
from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver, Treatment
from lib.webhook import ANSWER_WITHIN
from tests.support import HOSTILE, release

ORIGIN = "https://api.modelriver.com"
URL = f"{ORIGIN}/v1/callback/c-1"


@pytest.fixture
def callbacks() -> Iterator[Callbacks]:
    kept = Callbacks("mr-key", {ORIGIN, "http://127.0.0.1:3001"})
    yield kept
    release(kept)


@responses.activate
def test_a_callback_carries_key_and_json(callbacks: Callbacks) -> None:
    responses.post(URL, status=202)
    callbacks.send(URL, {"é": 1}, timeout=5)
    request = responses.calls[0].request
    assert request.headers["Authorization"] == "Bearer mr-key"
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == '{"é":1}'.encode()


@responses.activate
@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503, 599])
def test_what_may_pass_is_unavailable(callbacks: Callbacks, status: int) -> None:
    responses.post(URL, status=status)
    with pytest.raises(CallbackUnavailable, match=f"HTTP {status}"):
        callbacks.send(URL, {}, timeout=5)


@responses.activate
@pytest.mark.parametrize("status", [300, 400, 404, 410, 413, 422])
def test_what_stays_is_refused(callbacks: Callbacks, status: int) -> None:
    responses.post(URL, status=status)
    with pytest.raises(CallbackRefused, match=f"HTTP {status}"):
        callbacks.send(URL, {}, timeout=5)


@responses.activate
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_refusal_and_is_not_followed(callbacks: Callbacks, status: int) -> None:
    responses.post(URL, status=status, headers={"Location": "https://evil.test/"})
    elsewhere = responses.add(responses.GET, "https://evil.test/")
    with pytest.raises(CallbackRefused):
        callbacks.send(URL, {}, timeout=5)
    assert elsewhere.call_count == 0


@pytest.mark.parametrize("location", ["http://[", "\\\\evil.test", "http://[v1.x]/", ""])
def test_a_redirect_to_garbage_is_a_refusal_too(
    real: tuple[ModelRiver, Callbacks], location: str
) -> None:
    modelriver, callbacks = real
    modelriver.planned["c"].append(Treatment(status=302, headers={"Location": location}))
    with pytest.raises(CallbackRefused, match="HTTP 302"):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)


@responses.activate
def test_a_fault_of_the_network_is_unavailable(callbacks: Callbacks) -> None:
    responses.post(URL, body=ConnectTimeout("to 10.0.0.1, with mr-key"))
    with pytest.raises(CallbackUnavailable) as caught:
        callbacks.send(URL, {}, timeout=5)
    assert caught.value.reason == "ConnectTimeout"


@responses.activate
@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("https://api.modelriver.com:443/v1/callback/c-1", URL),
        ("HTTPS://API.ModelRiver.COM/v1/callback/c-1", URL),
        ("https://api.modelriver.com:/v1/callback/c-1", URL),
        ("https://api.modelriver.com/v1/callback/c-1#part", URL),
        ("https://api.modelriver.com?a=1", f"{ORIGIN}/?a=1"),
        ("https://api.modelriver.com//evil.test/x", f"{ORIGIN}//evil.test/x"),
        ("http://127.0.0.1:3001/v1/callback/c-1", "http://127.0.0.1:3001/v1/callback/c-1"),
    ],
)
def test_modelriver_is_called_back(callbacks: Callbacks, url: str, sent_to: str) -> None:
    responses.post(sent_to)
    callbacks.send(url, {}, timeout=5)
    assert responses.calls[0].request.url == sent_to


@responses.activate
@pytest.mark.parametrize("url", HOSTILE)
def test_the_key_goes_nowhere_else(callbacks: Callbacks, url: str) -> None:
    with pytest.raises(CallbackRefused, match=r"^callback_url is not at"):
        callbacks.send(url, {}, timeout=5)
    assert len(responses.calls) == 0


@pytest.fixture
def real() -> Iterator[tuple[ModelRiver, Callbacks]]:
    """Over real sockets."""
    with ModelRiver() as modelriver:
        kept = Callbacks(modelriver.api_key, {modelriver.origin})
        yield modelriver, kept
        release(kept)


SUCCESS = success("r-1", "2026-01-05T12:34:57.123Z", "ai_content", {"title": "Inception"})


@pytest.mark.parametrize(
    "fault",
    [
        Treatment(status=408),
        Treatment(status=425),
        Treatment(status=500),
        Treatment(status=503, headers={"Retry-After": "0"}),
        Treatment(reset="before"),
        Treatment(reset="after"),
    ],
    ids=str,
)
def test_a_passing_fault_is_tried_again(
    real: tuple[ModelRiver, Callbacks], fault: Treatment
) -> None:
    modelriver, callbacks = real
    modelriver.planned["c"].append(fault)
    callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    assert modelriver.callbacks_for("c")[-1].answered == 200
    assert modelriver.callbacks_for("c")[-1].problems == ()


def test_after_three_tries_it_is_enough(real: tuple[ModelRiver, Callbacks]) -> None:
    modelriver, callbacks = real
    modelriver.treatment = Treatment(status=500)
    with pytest.raises(CallbackUnavailable, match="HTTP 500"):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    assert len(modelriver.callbacks_for("c")) == 3


def test_a_connection_that_was_closed_quietly_costs_nothing(
    real: tuple[ModelRiver, Callbacks],
) -> None:
    modelriver, callbacks = real
    modelriver.treatment = Treatment(close_quietly=True)
    for _ in range(5):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    assert [each.answered for each in modelriver.callbacks_for("c")] == [200] * 5


@pytest.mark.parametrize("status", [413, 429, 503])
@pytest.mark.parametrize(
    "retry_after",
    [
        *("0", "0.5", "3600", "soon", "-1", "", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT"),
        *("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 99 Foo 0000 99:99:99", "1 Jan 99999999999 0:0:0"),
    ],
)
def test_what_retry_after_says_is_not_waited_for(
    real: tuple[ModelRiver, Callbacks], status: int, retry_after: str
) -> None:
    """ModelRiver's own redelivery waits long enough."""
    modelriver, callbacks = real
    modelriver.treatment = Treatment(status=status, headers={"Retry-After": retry_after})
    with pytest.raises((CallbackRefused, CallbackUnavailable), match=f"HTTP {status}"):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=20)
    assert len(modelriver.callbacks_for("c")) == (3 if status == 503 else 1)


def test_no_answer_within_the_time_given(real: tuple[ModelRiver, Callbacks]) -> None:
    modelriver, callbacks = real
    modelriver.treatment = Treatment(delay=3)
    with pytest.raises(CallbackUnavailable, match="no answer in time"):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=0.2)


def test_each_wait_is_bound_and_leaves_time_for_another() -> None:
    """A wait without an end would keep its thread, and there are only so many."""
    assert 0 < BODY_TIMEOUT < CONNECT_TIMEOUT < ANSWER_TIMEOUT < ANSWER_WITHIN / 2


def test_no_time_left(real: tuple[ModelRiver, Callbacks]) -> None:
    modelriver, callbacks = real
    modelriver.treatment = Treatment(delay=1.0)  # an answer that is there at once would be taken
    with pytest.raises(CallbackUnavailable, match="no answer in time"):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=-1)


def test_a_netrc_entry_does_not_replace_the_key(
    real: tuple[ModelRiver, Callbacks],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    modelriver, callbacks = real
    callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    assert modelriver.callbacks_for("c")[0].problems == ()


@dataclass
class Tls:
    """A server that speaks TLS, with a certificate for one host name."""

    origin: str
    authority: Path
    handshakes: int = 0
    keys: list[str | None] = field(default_factory=list)
    """Of each request, one of these."""


@pytest.fixture
def tls(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tls]:
    authority = trustme.CA()
    certificate = authority.issue_cert(getattr(request, "param", "127.0.0.1"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            with context.wrap_socket(request, server_side=True) as secured:
                told.handshakes += 1
                super().finish_request(secured, client_address)

        def handle_error(self, request: object, client_address: object) -> None:
            """Nothing: a client that does not trust us breaks off."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(length=5)  # of a body that does not follow

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(length=0)

        def answer(self, length: int) -> None:
            told.keys.append(self.headers["Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told = Tls(f"https://127.0.0.1:{server.server_port}", tmp_path / "authority.pem")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


@pytest.fixture
def over_tls(tls: Tls) -> Iterator[Callbacks]:
    kept = Callbacks("mr-key", {tls.origin})
    yield kept
    release(kept)


def test_the_key_is_told_to_nobody_whom_no_authority_knows(tls: Tls, over_tls: Callbacks) -> None:
    with pytest.raises(CallbackUnavailable, match="SSLError"):
        over_tls.send(tls.origin, {}, timeout=5)
    assert tls.keys == []


@pytest.mark.parametrize("tls", ["evil.test"], indirect=True)
def test_the_key_is_told_to_nobody_under_another_name(
    tls: Tls, over_tls: Callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifi, "where", lambda: str(tls.authority))
    with pytest.raises(CallbackUnavailable, match="SSLError"):
        over_tls.send(tls.origin, {}, timeout=5)
    assert tls.keys == []


def test_authorities_are_loaded_once_and_connections_are_kept(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a warm instance: no look-up, no handshake, no loading of authorities."""
    done: list[str] = []
    load, look_up = ssl.SSLContext.load_verify_locations, socket.getaddrinfo

    def loaded(*arguments: Any) -> None:
        time.sleep(0.3)  # in which a callback that did not wait would be refused, and try again
        load(*arguments)
        done.append("loading")

    def counted(*arguments: Any, **options: Any) -> Any:
        done.append("look-up")
        return look_up(*arguments, **options)

    monkeypatch.setattr(certifi, "where", lambda: str(tls.authority))
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", loaded)
    monkeypatch.setattr(socket, "getaddrinfo", counted)
    kept = Callbacks("mr-key", {tls.origin})
    for _ in range(5):
        kept.send(tls.origin, {}, timeout=5)
    release(kept)
    assert tls.keys == ["Bearer mr-key"] * 5
    assert done == ["loading", "look-up"]
    assert tls.handshakes == 1


def test_the_first_callback_takes_the_connection_that_is_opened_ahead(
    tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where that is not there yet: the rest of a handshake is shorter than a new one."""
    monkeypatch.setattr(certifi, "where", lambda: str(tls.authority))
    kept = Callbacks("mr-key", {tls.origin})
    kept.connect_ahead()
    kept.send(tls.origin, {}, timeout=5)
    release(kept)
    assert tls.handshakes == 1
    assert tls.keys == [None, "Bearer mr-key"]


def test_a_connection_ahead_that_fails_is_no_hindrance(real: tuple[ModelRiver, Callbacks]) -> None:
    modelriver, _ = real
    nobody = "http://127.0.0.1:9"
    kept = Callbacks(modelriver.api_key, {modelriver.origin, nobody})
    kept.connect_ahead()
    kept.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    release(kept)
    assert len(modelriver.callbacks) == 1


def test_the_connection_is_kept(real: tuple[ModelRiver, Callbacks]) -> None:
    modelriver, callbacks = real
    for _ in range(20):
        callbacks.send(modelriver.callback_url("c"), SUCCESS, timeout=10)
    assert modelriver.connections == 1


@pytest.mark.parametrize(
    ("ai_data", "data"),
    [
        ({"title": "t", "id": "theirs"}, {"title": "t"}),
        ("text", {"content": "text"}),
        ([1], {"content": [1]}),
        (0, {"content": 0}),
        (None, {}),
    ],
)
def test_success(ai_data: Json, data: dict[str, Json]) -> None:
    saved_at = "2026-01-05T12:34:57.123Z"
    assert success("r-1", saved_at, "ai_content", ai_data) == {
        "data": {**data, "id": "r-1", "saved_at": "2026-01-05T12:34:57.123Z"},
        "task_id": "neon_r-1",
        "metadata": {"database": "neon", "table": "ai_content", "record_id": "r-1"},
    }


def test_failure() -> None:
    assert failure("why") == {"error": "processing_failed", "message": "why"}
