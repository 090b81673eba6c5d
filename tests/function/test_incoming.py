"""That the time counts for all that comes in; the rest is seen where it is used."""

import io
import socket

import pytest

from lib.incoming import Incoming
from lib.local.until import until


def test_who_never_pauses_is_stopped_all_the_same() -> None:
    """No timeout of a socket's would: there is always something to read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.05)
        with Incoming(ours.makefile("rb", buffering=0), ours) as incoming:

            def read() -> bytes | None:
                theirs.sendall(b"x")
                try:
                    return io.RawIOBase.read(incoming, 1)
                except TimeoutError:
                    return None

            assert read() == b"x"
            assert until(lambda: read() is None)
            with pytest.raises(TimeoutError):
                incoming.readinto(bytearray(1))
