"""The function on the real Vercel runtime, as it runs on Vercel, in a process of its own.

The runtime is the package `vercel-runtime`. It connects to a unix socket, over which the platform
hears of its port, its requests and its log lines, as JSON messages ended by NUL.
"""

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from lib.local.project import ROOT
from lib.local.standins import process
from lib.local.standins.process import NotStarted, PartMissing

ENTRYPOINT = "api/modelriver.py"
"""The function's file, below the project's root."""
PATH = "/api/modelriver"
INVOCATION_HEADER = "x-vercel-internal-invocation-id"
"""Names a request to the runtime, which logs under that name, and hides it from the function."""

type Message = dict[str, object]


def log_line(message: Message) -> tuple[str, str] | None:
    """The invocation and the text of a message that is a log line, None for another."""
    match message:
        case {
            "type": "log",
            "payload": {"context": {"invocationId": str(invocation)}, "message": str(encoded)},
        }:
            text = base64.b64decode(encoded).decode(errors="replace")
            return invocation, text.removesuffix("\n")
    return None


class Vercel:
    """One instance of the function. Stops with the `with` block, and with this process."""

    def __init__(
        self,
        settings: Mapping[str, str],
        root: Path = ROOT,
        prefix: Sequence[str] = (),
        entrypoint: str = ENTRYPOINT,
        built: Path | None = None,
    ) -> None:
        """`settings` are the environment variables that the function gets; ours stay ours.

        `prefix` is a command that runs the function's. `built` is the folder of a function that
        `vercel build` made; it runs as it would on Vercel, instead of the sources below `root`.
        """
        if importlib.util.find_spec("vercel_runtime") is None:
            raise PartMissing("No Vercel runtime: pip install -r requirements-dev.txt")
        self._settings = settings
        self._root = root
        self._prefix = prefix
        self._entrypoint = entrypoint
        self._built = built
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        """0 while it is down."""
        self.deaths = 0
        """How often it was killed."""
        self.messages: list[Message] = []
        """Everything that the runtime told the platform."""
        self.on_message: Callable[[Message], None] = self.messages.append
        """What takes each message; something else than the list, where it would grow for long."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("it was not started")
        return self._process.pid

    @property
    def output(self) -> str:
        """What the process wrote besides: nothing, as a rule."""
        return (self._folder / "output.log").read_text(errors="replace")

    @property
    def log(self) -> list[str]:
        """The log lines so far."""
        lines = map(log_line, list(self.messages))
        return [text for _, text in filter(None, lines)]

    def __enter__(self) -> Self:
        # A socket's path has some 100 letters, which a TMPDIR may use up.
        self._folder = Path(tempfile.mkdtemp(prefix="vercel-", dir="/tmp"))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the process and wait until it listens. Raises NotStarted where it does not."""
        path = self._folder / "ipc.sock"
        path.unlink(missing_ok=True)
        log = self._folder / "output.log"
        self.port = 0
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            child = self._process = process.start(
                [*self._prefix, sys.executable, *self._command],
                log=log,
                directory=self._built,
                environment={
                    "VERCEL_IPC_PATH": str(path),
                    **self._environment,
                    **self._settings,
                },
            )
            listener.settimeout(20)
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                child.kill()
                raise NotStarted(f"the runtime did not start:\n{self.output}") from None
        threading.Thread(target=self._listen, args=(connection,), daemon=True).start()
        process.wait_for(lambda: self.port != 0, "the function", child, log)

    @property
    def _command(self) -> list[str]:
        if self._built:
            return ["vc__handler__python.py"]
        # -P: what is in this folder must not stand in for another revision's below `root`.
        return ["-P", "-c", "import vercel_runtime.vc_init"]

    @property
    def _environment(self) -> dict[str, str]:
        """What Vercel's platform sets, and what tells the runtime which function to serve."""
        platform = {
            "PATH": os.environ.get("PATH", ""),
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "VERCEL": "1",
            "VERCEL_ENV": "development",
        }
        if self._built:
            return {**platform, "PYTHONPATH": "_vendor", "PYTHONDONTWRITEBYTECODE": "1"}
        return {
            **platform,
            "__VC_HANDLER_ENTRYPOINT": self._entrypoint,
            "__VC_HANDLER_ENTRYPOINT_ABS": str(self._root / self._entrypoint),
            "__VC_HANDLER_MODULE_NAME": self._entrypoint.removesuffix(".py").replace("/", "."),
            "__VC_HANDLER_VARIABLE_NAME": "handler",
            "PYTHONPATH": str(self._root),
        }

    def stop(self) -> None:
        if self._process:
            process.stop(self._process, signal.SIGTERM, patience=3)

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        self.port = 0
        self.deaths += 1
        if self._process:
            self._process.kill()
            self._process.wait()

    def _listen(self, connection: socket.socket) -> None:
        pending = b""
        with connection, contextlib.suppress(OSError):  # a killed process resets it
            while piece := connection.recv(65536):
                *texts, pending = (pending + piece).split(b"\0")
                for text in texts:
                    message = json.loads(text)
                    self.on_message(message)
                    if message["type"] == "server-started":
                        self.port = message["payload"]["httpPort"]


_PASSED_ON = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "LANG", "TMPDIR")
