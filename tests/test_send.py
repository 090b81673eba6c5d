"""The command that delivers one AI result to any receiver."""

import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.local.__main__ import main
from lib.local.send import PRESETS
from tests.conftest import House

type Send = Callable[..., tuple[int, str, str]]


@pytest.fixture
def send(house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Send:
    monkeypatch.setenv("MODELRIVER_WEBHOOK_SECRET", house.modelriver.secret)
    monkeypatch.setenv("MODELRIVER_CALLBACK_ORIGINS", house.modelriver.origin)
    monkeypatch.setenv("DATABASE_URL", house.connection.info.dsn)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lib.local", "send", *arguments])
        status = main()
        shown = capsys.readouterr()
        assert house.modelriver.secret not in shown.out + shown.err
        return status, shown.out, shown.err

    return run


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_stored(house: House, send: Send, preset: str) -> None:
    before = house.count()
    status, out, err = send(house.vercel.url, "--preset", preset, "--expect-row")
    assert (status, err) == (0, "")
    assert '200 {"received":true}' in out
    assert "removed again" in out
    assert house.count() == before


@pytest.mark.parametrize("scheme", ["timestamped", "timestamped whole body"])
def test_each_scheme_is_taken(house: House, send: Send, scheme: str) -> None:
    assert send(house.vercel.url, "--scheme", scheme, "--expect-row")[0] == 0


def test_from_a_file_and_from_standard_input(
    house: House, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.json").write_text('{"title": "from a file"}')
    assert send(house.vercel.url, "--file", str(tmp_path / "result.json"))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO('"text"'))
    assert send(house.vercel.url, "--file", "-")[0] == 0


def test_malformed_json_is_not_sent(house: House, send: Send, tmp_path: Path) -> None:
    before = house.count()
    (tmp_path / "result.json").write_text('{\n  "title": oops\n}')
    status, _, err = send(house.vercel.url, "--file", str(tmp_path / "result.json"))
    assert status == 1
    assert "line 2 column 12" in err
    assert "nothing was sent" in err
    assert send(house.vercel.url, "--file", str(tmp_path / "nowhere"))[0] == 1
    assert house.count() == before


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "nonsense"])
def test_a_receiver_that_cannot_be_reached(send: Send, url: str) -> None:
    status, _, err = send(url)
    assert (status, err.count("\n")) == (1, 1)
    assert f"cannot reach {url}" in err


def test_a_wrong_secret(house: House, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELRIVER_WEBHOOK_SECRET", "another")
    assert send(house.vercel.url)[::2] == (1, f"send: {house.vercel.url} answered 401\n")
    monkeypatch.delenv("MODELRIVER_WEBHOOK_SECRET")
    assert send(house.vercel.url)[0] == 1


def test_a_row_that_cannot_be_looked_up(
    house: House, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:dbsecret@127.0.0.1:1/d")
    status, _, err = send(house.vercel.url, "--expect-row")
    assert status == 1
    assert "cannot look the row up" in err
    assert "dbsecret" not in err


def test_a_protected_deployment_is_told_the_bypass(
    house: House, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain server that shows what came, in place of Vercel's gate."""
    from http.server import BaseHTTPRequestHandler, HTTPServer  # noqa: PLC0415

    seen: list[str | None] = []

    class Gate(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.headers["x-vercel-protection-bypass"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nothing."""

    monkeypatch.setenv("VERCEL_AUTOMATION_BYPASS_SECRET", "let-me-in")
    with HTTPServer(("127.0.0.1", 0), Gate) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        status, out, _ = send(f"http://127.0.0.1:{server.server_port}/")
    assert (status, seen) == (0, ["let-me-in"])
    assert "let-me-in" not in out
