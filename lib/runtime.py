"""Takes away what Vercel's Python runtime wastes: most of its CPU on each request.

Nothing here changes what a request gets. What hangs on how the runtime is made (`vercel-runtime`
0.24.1) does nothing where it is made otherwise; tests/test_runtime.py tells when that is so, and
`make bench` what all of it is worth.
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
from http.server import ThreadingHTTPServer
from queue import SimpleQueue
from socketserver import ThreadingMixIn
from typing import Any

BACKLOG = 1024
"""Connections that may wait to be accepted. Of a burst, the default of five lets the rest wait for
a second, or resets them."""
MAX_IDLE_THREADS = 64
GUESSERS = ("charset_normalizer", "chardet")
"""What requests loads to guess how a text is encoded; none is read here."""
OPTIONAL = ("vercel", "vercel.headers", "vercel.cache.context", "vercel.cache.cache_build")
"""What the runtime tries to import on each request, searching the whole path in vain."""


@contextlib.contextmanager
def quick_start() -> Iterator[None]:
    """Import what is needed in less time, with what only takes time left out."""
    gc.disable()  # modules are no garbage
    wanted = [name for name in GUESSERS if name not in sys.modules]
    _declare_absent(wanted)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
        yield
    for name in wanted:
        del sys.modules[name]
    gc.freeze()
    gc.enable()


def spare() -> None:
    """Prepare the process: the runtime makes its server after it has imported the function."""
    ThreadingHTTPServer.request_queue_size = BACKLOG
    ThreadingHTTPServer.process_request = _process_request  # type: ignore[method-assign, assignment]
    if importlib.util.find_spec("vercel") is None:
        _declare_absent(OPTIONAL)


def expect_nothing_after(handler: object) -> None:
    """Spare a request that is answered the event loop that the runtime would wait on.

    It is started anew for each request, to wait for background work; here nobody registers any.
    """
    collector: object = getattr(handler, "_vc_wait_until", None)
    if getattr(collector, "_pending", None) == {}:
        handler._vc_wait_until = None  # type: ignore[attr-defined]  # noqa: SLF001


def _declare_absent(names: tuple[str, ...] | list[str]) -> None:
    """Make imports fail at once (https://docs.python.org/3/reference/import.html)."""
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]


class Threads:
    """Threads that serve one request after another; the library starts one for each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.idle = 0
        self._tasks: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def run(self, task: Callable[[], object]) -> None:
        """Run it at once, on a thread that is idle or on a new one."""
        with self._lock:
            reuse = self.idle > 0
            self.idle -= reuse
        if not reuse:
            threading.Thread(target=self._work, daemon=True).start()
        self._tasks.put(task)

    def _work(self) -> None:
        while True:
            self._tasks.get()()  # under no name, which would hold the request while it is idle
            with self._lock:
                if self.idle == MAX_IDLE_THREADS:
                    return
                self.idle += 1


_threads = Threads()


def _process_request(server: ThreadingMixIn, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as the library has it
    # In a context of its own, as on a thread of its own: the runtime keeps the request's id there.
    _threads.run(partial(Context().run, server.process_request_thread, request, client_address))
