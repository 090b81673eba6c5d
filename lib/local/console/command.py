"""A delivery as a command that anybody can paste into a shell."""

import shlex

from lib.local.standins.modelriver import Delivery

LONGEST = 100_000
"""Bytes of a body: Linux takes no more than 128 KiB as one argument."""
_OF_THE_WAY = (
    "accept",
    "connection",
    "content-length",
    "forwarded",
    "host",
    "user-agent",
    "x-forw",
)
"""What headers begin with that curl makes itself, or that tell of the way a delivery took."""


def curl(delivery: Delivery, url: str) -> str:
    """The command, signed as the delivery is. Raises ValueError where the body is too long."""
    if len(delivery.body) > LONGEST:
        raise ValueError(f"{len(delivery.body):,} bytes are too many for a command")
    parts = ["curl -sS -i -X POST " + shlex.quote(url)]
    parts += [
        "-H " + shlex.quote(f"{name}: {value}")
        for name, value in delivery.headers.items()
        if not name.lower().startswith(_OF_THE_WAY)
    ]
    parts.append("--data-binary " + shlex.quote(delivery.body.decode()))
    return " \\\n  ".join(parts)
