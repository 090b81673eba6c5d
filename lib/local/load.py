"""Load for the benches: deliveries, many at once, and what the process that takes them spends."""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from lib.local.modelriver import Delivery

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    seconds: float
    latencies: list[float]
    """Seconds of each delivery, shortest first."""
    statuses: Counter[int]

    def quantile(self, share: float) -> float:
        """Seconds within which that share of the deliveries was answered."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]

    @property
    def throughput(self) -> float:
        """Deliveries a second."""
        return len(self.latencies) / self.seconds


def run(port: int, path: str, sign: Callable[[int], Delivery], count: int, at_once: int) -> Load:
    """Deliver `count` deliveries, `at_once` at a time, each over a connection of its own."""
    numbers = itertools.count()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    def work() -> None:
        while (number := next(numbers)) < count:
            delivery = sign(number)
            began = time.perf_counter()
            status = _post(port, path, delivery)
            latencies.append(time.perf_counter() - began)
            statuses[status] += 1

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(time.perf_counter() - began, sorted(latencies), statuses)


def _post(port: int, path: str, delivery: Delivery) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, delivery.body, dict(delivery.headers))
        response = connection.getresponse()
        response.read()
    except (OSError, HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


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
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += "socket" in str(descriptor.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
    return count
