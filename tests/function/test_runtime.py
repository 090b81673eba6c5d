"""Whether the runtime still wastes what `lib.runtime` takes away, and still allows it."""

import gc
import json
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from lib import runtime
from lib.local.project import ROOT
from lib.local.standins.vercel import PATH, Vercel
from lib.local.until import until

PROBE = """
import asyncio, contextvars, json, sys, threading
from http.server import BaseHTTPRequestHandler
from lib import runtime

searches, loops, hooks = [], [], []
left_behind = contextvars.ContextVar("left_behind", default=0)

class Finder:
    def find_spec(self, name, path=None, target=None):
        searches.append(name)

sys.meta_path.insert(0, Finder())
new_event_loop = asyncio.events.new_event_loop
asyncio.events.new_event_loop = lambda: loops.append(1) or new_event_loop()

class handler(BaseHTTPRequestHandler):
    def do_POST(self):
        found = {{
            "searches": len(searches), "loops": len(loops), "hooks": len(hooks),
            "thread": threading.get_ident(), "left_behind": left_behind.get(),
            "backlog": self.server.request_queue_size,
        }}
        left_behind.set(1)
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        pass

{spare}
"""
HOOK = """
from vercel_runtime.invocation_hooks import run_on_next_invocation
run_on_next_invocation("probe", lambda: hooks.append(1))
"""

PENDING = SimpleNamespace(_pending={1: 2})

type Found = Mapping[str, int]


@contextmanager
def probe(folder: Path, *, spared: bool, more: str = "") -> Iterator[Callable[[], Found]]:
    """A function on the real runtime that counts what is done around it."""
    (folder / "api").mkdir()
    code = PROBE.format(
        spare="runtime.spare(handler)" if spared else "",
    )
    (folder / "api" / "modelriver.py").write_text(code + more)
    with Vercel({"PYTHONPATH": f"{folder}:{ROOT}"}, root=folder) as vercel:

        def ended() -> int:
            return sum(message["type"] == "end" for message in list(vercel.messages))

        def ask() -> Found:
            before = ended()
            connection = HTTPConnection("127.0.0.1", vercel.port, timeout=10)
            connection.request("POST", PATH, headers={"x-vercel-internal-request-id": "7"})
            found: Found = json.loads(connection.getresponse().read())
            connection.close()
            until(lambda: ended() > before, within=10)
            return found

        yield ask


def test_the_runtime_still_wastes_what_is_spared(tmp_path: Path) -> None:
    """Where this fails, lib/runtime.py does more than is needed: see what can go."""
    with probe(tmp_path, spared=False) as ask:
        first, second = ask(), ask()
    assert second["searches"] > first["searches"]
    assert second["loops"] > first["loops"]
    assert second["backlog"] == 5


def test_a_spared_request_searches_and_starts_nothing(tmp_path: Path) -> None:
    with probe(tmp_path, spared=True) as ask:
        first, *later = [ask() for _ in range(5)]
    assert {each["searches"] for each in later} == {first["searches"]}
    assert {each["loops"] for each in later} == {0}
    assert len({each["thread"] for each in (first, *later)}) <= 2  # one may not be idle yet
    assert {each["backlog"] for each in later} == {runtime.BACKLOG}
    assert {each["left_behind"] for each in later} == {0}


OURS = """
import asyncio, json, sys
from api import modelriver

loops = []
new_event_loop = asyncio.events.new_event_loop
asyncio.events.new_event_loop = lambda: loops.append(1) or new_event_loop()

class handler(modelriver.handler):
    def do_GET(self):
        self._send(200, {
            "loops": len(loops), "backlog": self.server.request_queue_size,
            "guessers": "charset_normalizer" in sys.modules,
            "absent": "vercel.headers" in sys.modules,
        })
"""


def test_the_function_is_spared_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "function.py").write_text(OURS)
    settings = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with Vercel(settings, root=tmp_path, entrypoint="probe/function.py") as vercel:
        for method in ("POST", "POST", "GET"):
            connection = HTTPConnection("127.0.0.1", vercel.port, timeout=10)
            connection.request(method, PATH)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            connection.close()
    assert found == {"loops": 0, "backlog": runtime.BACKLOG, "guessers": False, "absent": True}


def test_background_work_is_still_waited_for(tmp_path: Path) -> None:
    with probe(tmp_path, spared=True, more=HOOK) as ask:
        assert [ask()["hooks"], ask()["hooks"]] == [0, 1]


@pytest.mark.parametrize(
    ("has", "keeps"),
    [
        ({"_vc_wait_until": SimpleNamespace(_pending={})}, {"_vc_wait_until": None}),
        *((same, same) for same in ({}, {"_vc_wait_until": None}, {"_vc_wait_until": PENDING})),
    ],
)
def test_only_background_work_that_is_none_is_not_waited_for(
    has: dict[str, object], keeps: dict[str, object], spared: None
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def __init__(self) -> None:
            vars(self).update(has)

        def do_POST(self) -> None:
            """Nothing."""

    runtime.spare(Handler)
    handler = Handler()
    handler.do_POST()
    assert vars(handler) == keeps


def test_imports_are_quick_and_leave_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "charset_normalizer", raising=False)
    threshold = gc.get_threshold()
    with runtime.quick_start():
        assert not gc.isenabled()
        assert sys.modules["charset_normalizer"] is None
        warnings.warn("Unable to find acceptable character detection dependency", stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("Anything else", stacklevel=1)
    assert gc.isenabled()
    assert gc.get_freeze_count()
    assert "charset_normalizer" not in sys.modules
    assert gc.get_threshold() == (runtime.GARBAGE, *threshold[1:])
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_is_there_already_is_left_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", pytest)  # somebody needs it
    threshold = gc.get_threshold()
    with runtime.quick_start():
        assert sys.modules["charset_normalizer"] is pytest
    assert sys.modules["charset_normalizer"] is pytest
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.fixture
def spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts back what a call in this process changes."""
    for name in ("process_request", "request_queue_size"):
        monkeypatch.setattr(ThreadingHTTPServer, name, getattr(ThreadingHTTPServer, name))
    for name in runtime.OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_package_of_vercels_that_is_there_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spared: None
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "vercel").mkdir()
    (tmp_path / "vercel" / "__init__.py").touch()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Nothing."""

    runtime.spare(Handler)
    assert "vercel" not in sys.modules  # nor None in its place


def test_threads_are_kept_up_to_a_limit_and_serve_all_at_once(
    monkeypatch: pytest.MonkeyPatch, spared: None
) -> None:
    monkeypatch.setattr(runtime, "idle_threads", [])
    serving, release = SimpleQueue[threading.Thread](), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def process_request_thread(self, *_: object) -> None:
            serving.put(threading.current_thread())
            release.wait(10)

    runtime.spare(Handler)
    many, served_by = runtime.MAX_IDLE + 10, []
    with Server(("127.0.0.1", 0), Handler) as server, socket.socket() as request:
        for _ in range(2):
            release.clear()
            for _ in range(many):
                server.process_request(request, ("127.0.0.1", 1))
            served_by.append({serving.get(timeout=10) for _ in range(many)})
            release.set()
            assert until(lambda: len(runtime.idle_threads) >= runtime.MAX_IDLE, within=10)
    assert [len(threads) for threads in served_by] == [many, many]  # none waits for another
    assert runtime.MAX_IDLE <= len(served_by[0] & served_by[1]) < many


def test_four_at_a_time_take_few_threads(monkeypatch: pytest.MonkeyPatch, spared: None) -> None:
    monkeypatch.setattr(runtime, "idle_threads", [])
    served_by = SimpleQueue[threading.Thread]()
    asked_by: set[tuple[object, object]] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        def process_request_thread(self, request: object, client_address: object) -> None:
            asked_by.add((request, client_address))
            served_by.put(threading.current_thread())

    runtime.spare(Handler)
    threads: set[threading.Thread] = set()
    with Server(("127.0.0.1", 0), Handler) as server, socket.socket() as request:
        for _ in range(500):
            for _ in range(4):
                server.process_request(request, ("127.0.0.1", 1))
            threads |= {served_by.get(timeout=10) for _ in range(4)}
    assert len(threads) < 20  # some may not be idle yet when the next requests come
    assert all(thread.daemon for thread in threads)  # or the process would wait for them
    assert asked_by == {(request, ("127.0.0.1", 1))}
