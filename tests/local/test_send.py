"""The command that delivers one AI result to any receiver."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lib.local.__main__ import main
from lib.local.commands import running
from lib.local.standins.deliveries import ENVELOPES, PRESETS
from lib.local.standins.saved import Saved
from lib.local.standins.stack import Stack

type Send = Callable[..., tuple[int, str, str]]


@pytest.fixture
def send(stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Send:
    monkeypatch.setenv("MODELRIVER_WEBHOOK_SECRET", stack.modelriver.secret)
    monkeypatch.setenv("MODELRIVER_CALLBACK_ORIGINS", stack.modelriver.origin)
    monkeypatch.setenv("DATABASE_URL", stack.connection.info.dsn)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lib.local", "send", *arguments])
        status = main()
        shown = capsys.readouterr()
        assert stack.modelriver.secret not in shown.out + shown.err
        return status, shown.out, shown.err

    return run


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_stored(stack: Stack, send: Send, preset: str) -> None:
    before = stack.count()
    status, out, err = send(stack.vercel.url, "--preset", preset, "--expect-row")
    assert (status, err) == (0, "")
    assert '200 {"received":true}' in out
    assert "removed again" in out
    assert stack.count() == before


@pytest.mark.parametrize("scheme", ["timestamped", "timestamped whole body"])
def test_each_scheme_is_taken(stack: Stack, send: Send, scheme: str) -> None:
    assert send(stack.vercel.url, "--scheme", scheme, "--expect-row")[0] == 0


def test_from_a_file_and_from_standard_input(
    stack: Stack, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.json").write_text('{"title": "from a file"}')
    assert send(stack.vercel.url, "--file", str(tmp_path / "result.json"))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO('"text"'))
    assert send(stack.vercel.url, "--file", "-")[0] == 0


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_each_envelope_is_taken(stack: Stack, send: Send, envelope: str) -> None:
    assert send(stack.vercel.url, "--envelope", envelope)[0] == 0


def test_a_saved_delivery_keeps_its_channel(stack: Stack, send: Send, tmp_path: Path) -> None:
    payload = stack.modelriver.nested(stack.modelriver.event({"title": "saved"}))
    file = tmp_path / "delivery.json"
    file.write_text(Saved(payload, "timestamped").text())
    for _ in range(2):
        assert send(stack.vercel.url, "--file", str(file))[0] == 0
    assert len(stack.rows(str(payload["channel_id"]))) == 1
    status, _, err = send(stack.vercel.url, "--file", str(file), "--expect-row")
    assert (status, "no --expect-row" in err) == (1, True)


def test_without_a_url_there_must_be_a_make_dev(
    send: Send, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "FOLDER", tmp_path)
    expected = "send: make dev does not run; to send elsewhere: make send URL=…\n"
    assert send()[::2] == (1, expected)


def test_malformed_json_is_not_sent(stack: Stack, send: Send, tmp_path: Path) -> None:
    before = stack.count()
    (tmp_path / "result.json").write_text('{\n  "title": oops\n}')
    status, _, err = send(stack.vercel.url, "--file", str(tmp_path / "result.json"))
    assert status == 1
    assert "line 2 column 12" in err
    assert "nothing was sent" in err
    (tmp_path / "result.json").write_text('["NaN", NaN]')
    assert "line 1 column 9" in send(stack.vercel.url, "--file", str(tmp_path / "result.json"))[2]
    (tmp_path / "result.json").write_bytes(b'"\xff"')
    assert "not UTF-8 at byte 1" in send(stack.vercel.url, "--file", f"{tmp_path}/result.json")[2]
    assert send(stack.vercel.url, "--file", str(tmp_path / "nowhere"))[0] == 1
    assert stack.count() == before


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
        ("127.0.0.1:1", "http://127.0.0.1:1/api/modelriver"),
        ("localhost:1/webhook", "http://localhost:1/webhook"),
        ("nonsense", "https://nonsense/api/modelriver"),
    ],
)
def test_a_receiver_that_cannot_be_reached(send: Send, typed: str, url: str) -> None:
    status, _, err = send(f"{typed}?x-vercel-protection-bypass=let-me-in")
    assert (status, err.count("\n")) == (1, 1)
    assert f"cannot reach {url}: " in err
    assert "let-me-in" not in err


def test_a_wrong_secret(stack: Stack, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELRIVER_WEBHOOK_SECRET", "another")
    assert send(stack.vercel.url)[::2] == (1, f"send: {stack.vercel.url} answered 401\n")
    monkeypatch.delenv("MODELRIVER_WEBHOOK_SECRET")
    assert send(stack.vercel.url)[0] == 1


def test_a_row_that_cannot_be_looked_up(
    stack: Stack, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:dbsecret@127.0.0.1:1/d")
    status, _, err = send(stack.vercel.url, "--expect-row")
    assert status == 1
    assert "cannot look the row up" in err
    assert "dbsecret" not in err


@pytest.fixture
def gate() -> Iterator[tuple[str, list[str | None], list[int]]]:
    """In place of Vercel's gate: its URL, the bypasses that came, what it answers."""
    seen: list[str | None] = []
    answers = [200]

    class Gate(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["x-vercel-protection-bypass"])
            self.send_response(answers[0])
            self.send_header("Location", "/login")
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"\x1b[2Jpage")

        def do_GET(self) -> None:
            seen.append("followed")
            self.send_error(404)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Gate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", seen, answers
        server.shutdown()


def test_a_protected_deployment_is_told_the_bypass(
    send: Send,
    gate: tuple[str, list[str | None], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, seen, _ = gate
    monkeypatch.setenv("VERCEL_AUTOMATION_BYPASS_SECRET", "let-me-in")
    status, out, _ = send(url)
    assert (status, seen) == (0, ["let-me-in"])
    assert "let-me-in" not in out
    assert "\x1b" not in out  # what a stranger answers does not steer the terminal


def test_a_way_to_the_login_page_is_no_success(
    send: Send, gate: tuple[str, list[str | None], list[int]]
) -> None:
    url, seen, answers = gate
    answers[0] = 302
    status, _, err = send(url)
    assert (status, len(seen)) == (1, 1)
    assert "answered 302" in err
