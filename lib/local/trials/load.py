"""Load for the benches: deliveries, many at once, and what the process that takes them spends."""

import contextlib
import itertools
import os
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lib.jsontext import Json
from lib.local.project import ROOT
from lib.local.standins import process
from lib.local.standins.callbacks import CALLBACK_PATH
from lib.local.standins.deliveries import MOVIE
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.vercel import PATH

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
SINK = ROOT / "lib" / "local" / "standins" / "sink.py"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    seconds: float
    latencies: list[float]
    """Seconds of each delivery, shortest first."""
    statuses: Counter[int]
    """How often each status was answered; 0 where there was no answer."""

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the deliveries was answered."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    @property
    def failed(self) -> int:
        """How many deliveries were not answered 200."""
        return self.statuses.total() - self.statuses[200]

    @property
    def throughput(self) -> float:
        """Deliveries a second."""
        return len(self.latencies) / self.seconds


def requests(
    river: ModelRiver, count: int, *, origin: str = "", ai_result: Json = MOVIE
) -> list[bytes]:
    """So many deliveries as they go over the wire: made beforehand, they take no time from others.

    Callbacks are to go to `origin`, or to `river` itself.
    """
    return [_request(river, origin or river.origin, ai_result) for _ in range(count)]


def _request(river: ModelRiver, origin: str, ai_result: Json) -> bytes:
    channel_id = str(uuid.uuid4())
    url = f"{origin}{CALLBACK_PATH}{channel_id}"
    delivery = river.sign(river.event(ai_result, channel_id=channel_id, callback_url=url))
    headers = {"Host": "127.0.0.1", **delivery.headers, "Content-Length": str(len(delivery.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + delivery.body


def run(ports: Sequence[int], contents: Sequence[bytes], at_once: int) -> Load:
    """Send all requests to the ports in turn, `at_once` at a time, each over its own connection."""
    waiting = zip(contents, itertools.cycle(ports))
    lock = threading.Lock()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    def work() -> None:
        while True:
            with lock:
                content, port = next(waiting, (None, 0))
            if content is None:
                return
            began = time.perf_counter()
            status = _send(port, content)
            latencies.append(time.perf_counter() - began)
            with lock:
                statuses[status] += 1

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.perf_counter() - began, sorted(latencies), statuses)


def _send(port: int, content: bytes) -> int:
    """The status of the answer, once all of it is there, or 0 where none came."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(content)
            while not _is_whole(answer):
                if not (piece := connection.recv(65536)):
                    return 0
                answer += piece
        return int(answer.split(b" ", 2)[1])
    except (OSError, ValueError, IndexError):  # none, or none that is HTTP
        return 0


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    return bool(found) and len(body) >= int(
        head.lower().partition(b"content-length:")[2].split()[0]
    )


@contextlib.contextmanager
def listening(script: Path, *arguments: str) -> Iterator[int]:
    """A process of its own that runs a script, which listens on its first argument; that port."""
    port = process.free_port()
    with TemporaryDirectory() as folder:
        log = Path(folder) / "output.log"
        child = process.start([sys.executable, "-P", script, str(port), *arguments], log=log)
        try:
            process.wait_for(lambda: process.listens(port), script.name, child, log)
            yield port
        finally:
            child.kill()
            child.wait()


def sink() -> contextlib.AbstractContextManager[int]:
    """A process that takes callbacks, as cheaply as can be; its port."""
    return listening(SINK)


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def memory(pid: int) -> int:
    """Bytes of memory that a process holds just now."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def sockets(pid: int) -> int:
    return len(_socket_inodes(pid))


def peers(pid: int) -> Counter[int]:
    """How many TCP connections a process has to each remote port, over IPv4 (proc(5))."""
    ours = _socket_inodes(pid)
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return Counter(int(row[2].rpartition(":")[2], 16) for row in table if row[9] in ours)


def _socket_inodes(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            kind, _, inode = str(descriptor.readlink()).partition(":[")
            if kind == "socket":
                found.add(inode.rstrip("]"))
    return found
