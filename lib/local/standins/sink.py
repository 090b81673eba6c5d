"""Takes callbacks and answers 200, as cheaply as can be: `python sink.py PORT`.

A process of its own, so that a bench does not measure what the stand-in ModelRiver does. To a GET
it answers how many connections it has taken.
"""

import asyncio
import json
import re
import sys

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class _Sink(asyncio.Protocol):
    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Sink.connections += 1
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            body = json.dumps({"connections": self.connections}) if head[:3] == b"GET" else ""
            answer = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            if isinstance(self._transport, asyncio.WriteTransport):
                self._transport.write(answer.encode())


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
