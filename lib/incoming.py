"""What comes in over a socket, within a time that counts for all of it and not for each piece."""

import io
import socket
import time
from collections.abc import Buffer


class Incoming(io.RawIOBase):
    """A socket's bytes, all of them within the socket's timeout, however they dribble in."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        """`raw` is the socket's own file, as in `sock.makefile("rb").detach()`."""
        self._raw, self._sock = raw, sock
        self.give_up_at = time.monotonic() + (sock.gettimeout() or 0)
        self.waits = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int | None:
        """As any raw file. Raises TimeoutError once the time is over."""
        remaining = self.give_up_at - time.monotonic()
        if self.waits and remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining if self.waits else 0)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
