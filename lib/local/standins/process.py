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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lib.local.problem import Problem
from lib.local.until import until

_PR_SET_PDEATHSIG = 1
STARTED_WITHIN = 30
"""Seconds for a child to do what it was started for."""


class PartMissing(Problem):
    """Something that the stand-ins need is not on this machine; the message says what to do."""


class NotStarted(Problem):
    """A child ended, or did not come to what it was started for; the message has its last words."""


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


def kept_port(file: Path) -> int:
    """The port that the file names, where it is free; else a free one, which it names from now on.

    So what a person has copied stays true from run to run.
    """
    with contextlib.suppress(OSError, ValueError), socket.socket() as probe:
        port = int(file.read_text(encoding="utf-8"))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return port
    port = free_port()
    file.write_text(str(port), encoding="utf-8")
    return port


def is_open_to_others(path: Path) -> bool:
    """Whether another user gets to what is there, whatever stands before it."""
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents) if each.exists())


def unprivileged_user() -> str | None:
    """Whom to run Postgres and PgBouncer as, which refuse root: nobody, or None for ourselves."""
    return "nobody" if os.geteuid() == 0 else None


def give_to_unprivileged_user(path: Path) -> None:
    """What is made there is for it to read and to change, whatever the umask."""
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
            preexec_fn=_dying_with_us(death_signal),  # noqa: PLW1509 - nothing in it takes a lock
            start_new_session=True,  # Ctrl-C is for us to hand on, in order
        )


def _dying_with_us(death_signal: signal.Signals) -> Callable[[], None]:
    """What a child does first, to hear of our end."""
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ask() -> None:
        if libc:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # it went before we could ask
                os._exit(1)

    return ask


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


def signal_if_there(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(pid: int) -> bool:
    """Whether a process still holds what it held: a zombie, whom nobody waited for, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


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
    """Wait for a child to do what it was started for. Raises NotStarted with the log's end."""
    came_to_it = until(lambda: child.poll() is not None or condition(), STARTED_WITHIN)
    # Where the child has ended, whatever answers is another.
    if child.poll() is not None or not came_to_it:
        tail = log.read_text(errors="replace")[-2000:]
        raise NotStarted(f"{what} did not start:\n{tail}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
