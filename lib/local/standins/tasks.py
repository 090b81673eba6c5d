"""What redelivery works on: AI results on their way, the attempts made, and where they go."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from lib.jsontext import Json
from lib.local.standins.modelriver import Delivery, Reply, Scheme


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
    url: str = ""
    """Where it goes, where that is not to a receiver."""
    typed: bool = False
    """Whether the payload goes out as it is: its timestamp then is not the AI result's."""
    recorded: Delivery | None = None
    """What somebody else sent: it goes out again as it came, once for each press of the button."""
    state: Literal["pending", "delivered", "dead"] = "pending"
    attempts: list[Attempt] = field(default_factory=list)
    due: float | None = None
    """When the next attempt will be made, in time.monotonic() seconds; None where none will."""
    under_way: int = 0
    """Attempts that have no answer yet."""

    @property
    def channel_id(self) -> str:
        """Empty where the payload names none."""
        data = self.payload.get("data")
        inside = data.get("channel_id") if isinstance(data, dict) else None
        header = self.recorded.headers.get("mr-channel-id") if self.recorded else None
        return str(self.payload.get("channel_id") or inside or header or "")
