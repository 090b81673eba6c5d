"""What redelivery works on: AI results on their way, the attempts made, and where they go."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from lib.jsontext import Json
from lib.local.standins.modelriver import Reply, Scheme


class Receiver(Protocol):
    """Where deliveries go."""

    @property
    def url(self) -> str: ...

    @property
    def port(self) -> int:
        """0 while it is down."""

    @property
    def deaths(self) -> int:
        """How often it was killed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver that stays at its place, whatever happens behind it."""

    url: str
    port: int
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, and what came of it."""

    number: int
    invocation: str
    """By which the platform's log lines tell it from others."""
    at: float
    """Seconds after the AI result, by ModelRiver's clock."""
    reply: Reply
    receiver_died: bool
    """Whether the process that should have answered was killed meanwhile."""


@dataclass(slots=True, eq=False)
class Task:
    """An AI result on its way."""

    payload: dict[str, Json]
    scheme: Scheme
    born: float
    """When the AI result was there, in time.monotonic() seconds."""
    secret: str | None = None
    """What it is signed with, where that is not the webhook's."""
    state: Literal["pending", "delivered", "dead"] = "pending"
    attempts: list[Attempt] = field(default_factory=list)
    due: float | None = None
    """When the next attempt will be made, in time.monotonic() seconds; None where none will."""
    under_way: int = 0
    """Attempts that have no answer yet."""

    @property
    def channel_id(self) -> str:
        return str(self.payload["channel_id"])
