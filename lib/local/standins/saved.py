"""Deliveries in files, as the console saves them and `make send` takes them."""

import json
from dataclasses import dataclass

from lib.jsontext import Json
from lib.local.standins import wire
from lib.local.standins.signing import SCHEMES, Scheme


class NoDelivery(ValueError):
    """A file that holds none; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A delivery as a file holds it: to be signed anew."""

    payload: dict[str, Json]
    scheme: Scheme

    def text(self) -> str:
        """The file's content."""
        return wire.write({"scheme": self.scheme, "delivery": self.payload}, indent=2) + "\n"

    @classmethod
    def of(cls, value: Json) -> "Saved | None":
        """What a file's JSON says, None where it is no saved delivery but an AI result, say."""
        match value:
            case {"scheme": str(name), "delivery": dict(payload), **rest} if not rest:
                for scheme in SCHEMES:
                    if scheme == name:
                        return cls(payload, scheme)
        return None

    @classmethod
    def read(cls, text: str) -> "Saved":
        """Raises NoDelivery."""
        try:
            found = cls.of(wire.read(text))
        except json.JSONDecodeError as error:
            raise NoDelivery(f"That file is no delivery: it is not JSON ({error}).") from None
        if found is None:
            raise NoDelivery(
                "That file is no delivery: one that was saved here has a scheme and a delivery."
            )
        return found
