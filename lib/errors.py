"""Every way in which a delivery ends other than well.

ModelRiver sends again whatever is not answered 2xx. So 200 is for an error that no redelivery can
cure; with any other status, the sender is told the docstring.
"""
# ruff: noqa: E701 - a table of classes

import re
import traceback
from logging import ERROR, WARNING
from pathlib import Path
from typing import ClassVar


class DeliveryError(Exception):
    """Delivery failed"""

    status: ClassVar[int]
    level: ClassVar[int]
    outcome: ClassVar[str]  # the class's name as the log line has it: invalid_signature

    def __init_subclass__(cls, status: int, level: int = WARNING) -> None:
        cls.status, cls.level = status, level
        cls.outcome = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, reason: str) -> None:
        """`reason` is for the log: never a message from elsewhere, which might quote a secret."""
        self.reason = reason


# fmt: off
class InvalidBody(DeliveryError, status=400): """Invalid body"""
class InvalidSignature(DeliveryError, status=401): """Invalid signature"""
class BodyTimeout(DeliveryError, status=408): """Body did not arrive in time"""
class LengthRequired(DeliveryError, status=411): """Length required"""
class BodyTooLarge(DeliveryError, status=413): """Body too large"""
class Misconfigured(DeliveryError, status=500, level=ERROR): """Server misconfigured"""
class InternalError(DeliveryError, status=500, level=ERROR): """Internal error"""
class DatabaseUnavailable(DeliveryError, status=503, level=ERROR): """Database unavailable"""
class RecordRefused(DeliveryError, status=200, level=ERROR): """Postgres refuses this very record"""
class CallbackUnavailable(DeliveryError, status=503): """Callback not taken yet"""
class CallbackRefused(DeliveryError, status=200, level=ERROR): """Callback refused for good"""
# fmt: on


def place(error: Exception) -> str:
    """The error's class and our last line before it; not its message."""
    frames = traceback.extract_tb(error.__traceback__)
    root = Path(frames[0].filename).parents[1]  # the error was caught in a file of this project's
    ours = [each for each in frames if each.filename.startswith((f"{root}/api/", f"{root}/lib/"))]
    return f"{type(error).__name__} at {Path(ours[-1].filename).name}:{ours[-1].lineno}"
