"""Child processes that cannot outlive us, and free ports to start them on."""

import contextlib
import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class PartMissing(Exception):
    """Something that the stand-ins need is not on this machine; the message says what to do."""


def free_port() -> int:
    """A loopback port that nobody listens on just now.

    Below those that the system gives to outgoing connections (32768 and up on Linux): one of these
    would take the port of a server that is down for a while, or even connect to itself.
    """
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def unprivileged_user() -> str | None:
    """Whom to run Postgres and PgBouncer as, which refuse root: nobody, or None for ourselves."""
    return "nobody" if os.geteuid() == 0 else None


def give_to_unprivileged_user(path: Path) -> None:
    if user := unprivileged_user():
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a child that gets `death_signal` when we are gone, however we went.

    Linux does that for us (prctl(2)), as long as the calling thread lives: call it from the main
    thread. Elsewhere only an orderly end stops the child.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_parent() -> None:
        if libc:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # it went before we could ask
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=directory,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing in it takes a lock
            start_new_session=True,  # Ctrl-C is for us to hand on, in order
        )


def stop(child: "subprocess.Popen[bytes]", how: signal.Signals, patience: float = 10) -> None:
    """Send `how`, and after `patience` seconds SIGKILL; returns once the child is gone."""
    if child.poll() is None:
        child.send_signal(how)
        child.send_signal(signal.SIGCONT)  # a frozen one would not hear it
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def stop_group(child: "subprocess.Popen[bytes]") -> None:
    """End a child and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    stop(child, signal.SIGTERM)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def wait_for(
    condition: Callable[[], bool], what: str, child: "subprocess.Popen[bytes]", log: Path
) -> None:
    """Poll until `condition` holds. Raises RuntimeError with the log's end where it never does."""
    give_up_at = time.monotonic() + 30
    while not condition():
        if child.poll() is not None or time.monotonic() > give_up_at:
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{what} did not start:\n{tail}")
        time.sleep(0.01)
    if child.poll() is not None:  # whatever answers there is another
        raise RuntimeError(f"{what} ended:\n{log.read_text(errors='replace')[-2000:]}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
