"""Puts distance between two sides on one machine: `python distance.py PORT TARGET MILLISECONDS`.

Each byte arrives so much later, both ways. The first ones of a connection arrive a round trip later
still: TCP's own handshake, which the kernel here has answered at once. A process of its own, with
threads that sleep, because timers that wait in a selector are a millisecond late.
"""

import contextlib
import queue
import socket
import sys
import threading
import time


def _carry(source: socket.socket, target: socket.socket, seconds: float, ready_at: float) -> None:
    """Hand on what comes, each piece `seconds` after it came, none before `ready_at`."""
    on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def arrive() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = on_the_way.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not piece:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(piece)

    threading.Thread(target=arrive, daemon=True).start()
    piece = b"-"
    while piece:
        try:
            piece = source.recv(65536)
        except OSError:
            piece = b""
        on_the_way.put((max(time.monotonic(), ready_at) + seconds, piece))


def _serve(client: socket.socket, target: int, seconds: float) -> None:
    ready_at = time.monotonic() + 2 * seconds
    server = socket.create_connection(("127.0.0.1", target), timeout=10)
    server.settimeout(None)
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_carry, args=(server, client, seconds, 0.0), daemon=True)
    back.start()
    _carry(client, server, seconds, ready_at)


def main(port: int, target: int, milliseconds: float) -> None:
    """Listen until the process ends; `milliseconds` are those of one way."""
    with socket.create_server(("127.0.0.1", port), backlog=256) as listener:
        while True:
            client, _ = listener.accept()
            seconds = milliseconds / 1000
            threading.Thread(target=_serve, args=(client, target, seconds), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
