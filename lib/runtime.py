"""Takes away what a start wastes, and what Vercel's Python runtime wastes on each request.

A request gets the same with it and without. What leans on `vercel-runtime`, as 0.23 and 0.24 are
made, does nothing where it is made otherwise; tests/function/test_runtime.py says so.
"""

import contextlib
import gc
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from socketserver import ThreadingMixIn
from typing import Any

BACKLOG = 1024  # connections that may wait; with the default of 5, of a burst many are reset
# With which requests would guess how a text is encoded; none is read here.
GUESSER = "charset_normalizer"
# What the runtime tries to import on each request, searching the whole path in vain. The first
# would do, but a third of what they save is in the others.
OPTIONAL = ("vercel", "vercel.headers", "vercel.cache.context", "vercel.cache.cache_build")
GARBAGE = 10_000  # objects before cycles are looked for, of which a delivery leaves hardly any
MAX_IDLE = 64  # threads that wait for a request

# Where each idle thread waits for a request; the last to come is the first to go.
idle_threads: list[SimpleQueue[Callable[[], object]]] = []


@contextlib.contextmanager
def quick_start() -> Iterator[None]:
    """Import in here what is needed: 13 % of a start, 7 % of a delivery's CPU, 3 MB."""
    gc.disable()  # modules are no garbage, now and later
    # Its import fails at once (https://docs.python.org/3/reference/import.html).
    sys.modules.setdefault(GUESSER, None)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
        yield
    if sys.modules[GUESSER] is None:
        del sys.modules[GUESSER]
    gc.freeze()
    gc.set_threshold(GARBAGE)  # 5 % of a delivery's CPU
    gc.enable()


def spare(handler: type[BaseHTTPRequestHandler]) -> None:
    """To be called on import: the runtime makes its server later. In %: a delivery's CPU saved."""
    ThreadingHTTPServer.request_queue_size = BACKLOG
    ThreadingHTTPServer.process_request = _process_request  # type: ignore[method-assign, assignment]  # 8 %
    if importlib.util.find_spec("vercel") is None:  # 23 %
        sys.modules.update(dict.fromkeys(OPTIONAL))  # type: ignore[arg-type]
    _end_quietly(handler)  # 14 %


def _end_quietly(handler: type[BaseHTTPRequestHandler]) -> None:
    """Spare each POST an event loop that would wait for background work, of which there is none."""
    do_post: Callable[[BaseHTTPRequestHandler], None] = handler.do_POST  # type: ignore[attr-defined]

    def post(self: BaseHTTPRequestHandler) -> None:
        do_post(self)
        if getattr(getattr(self, "_vc_wait_until", None), "_pending", None) == {}:
            self._vc_wait_until = None  # type: ignore[attr-defined]

    handler.do_POST = post  # type: ignore[attr-defined]


def _process_request(server: ThreadingMixIn, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
    """Serve it on a thread that has served others; the library starts one for each.

    A ThreadPoolExecutor would miscount the idle ones, and grow to its limit (CPython 88354).
    """
    try:
        inbox = idle_threads.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), daemon=True).start()
    # In a context of its own, as on a thread of its own: the runtime keeps the request's id there.
    inbox.put(partial(Context().run, server.process_request_thread, request, client_address))


def _serve(inbox: SimpleQueue[Callable[[], object]]) -> None:
    while True:
        inbox.get()()  # kept in no variable, which would hold the last request while this is idle
        if len(idle_threads) >= MAX_IDLE:
            return
        idle_threads.append(inbox)
