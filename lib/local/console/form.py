"""What the page's form sends, checked and made into deliveries; and the way back."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lib.jsontext import Json
from lib.local.console.desk import Order
from lib.local.console.entry import Entry, payload, scheme_of
from lib.local.standins import wire
from lib.local.standins.deliveries import ENVELOPES, PRESETS
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.saved import Saved

MAX_TIMES = 100
EDITABLE = 100_000
"""Characters of an AI result that are offered for editing."""
WHOLE = "whole body"
"""The envelope that is none: what is typed is the body."""
_URL = re.compile(r"https?://[^\s/?#@]+([/?][^\s#]*)?")


class Refused(Exception):
    """A form that is not taken; nothing was sent."""

    def __init__(self, message: str, position: int | None = None) -> None:
        """`position` is where the JSON that was typed is malformed, in UTF-16 units."""
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Form:
    """A form that is filled as it should be."""

    ai_result: Json
    envelope: str
    event: str
    channel: str
    order: Order
    """What all its deliveries have in common."""
    times: int
    same: bool

    @classmethod
    def of(cls, told: Json) -> "Form":
        """Raises Refused."""
        given = told if isinstance(told, dict) else {}
        kept = {name: value for name, value in given.items() if name in _KEPT}
        match given:
            case {
                "ai_result": str() | None as text,
                "preset": str(preset),
                "envelope": str(envelope),
                "event": str(event),
                "channel": str(channel),
                "scheme": str(scheme),
                "secret": "right" | "wrong" as secret,
                "url": str(url),
                "times": int(times),
                "same": bool(same),
                **rest,
            } if not rest and envelope in {WHOLE, *ENVELOPES}:
                pass
            case _:
                raise Refused("That is not what the form sends.")
        if not 1 <= times <= MAX_TIMES:
            raise Refused(f"How often: a whole number from 1 to {MAX_TIMES}. Nothing was sent.")
        if url and not _URL.fullmatch(url):
            raise Refused("To: that is no http or https URL. Nothing was sent.")
        try:
            order = Order(
                {},
                scheme_of(scheme),
                url=url,
                typed=envelope == WHOLE,
                forged=secret == "wrong",
                form=kept,
            )
        except ValueError:
            raise Refused("There is no such scheme.") from None
        result = PRESETS.get(preset) if text is None else _typed(text)
        if envelope == WHOLE and not isinstance(result, dict):
            raise Refused("The whole body is to be a JSON object. Nothing was sent.", 0)
        return cls(result, envelope, event, channel, order, times, same)

    def orders(self, modelriver: ModelRiver) -> list[Order]:
        """The deliveries to make."""
        if self.same or self.envelope == WHOLE:
            return [self._order(modelriver)] * self.times
        return [self._order(modelriver) for _ in range(self.times)]

    def _order(self, modelriver: ModelRiver) -> Order:
        if self.envelope == WHOLE and isinstance(self.ai_result, dict):
            return replace(self.order, payload=self.ai_result)
        named: dict[str, Json] = {"channel_id": self.channel} if self.channel else {}
        documented = modelriver.event(self.ai_result, event=self.event or None, **named)
        return replace(self.order, payload=ENVELOPES[self.envelope](documented))


_KEPT = ("ai_result", "preset", "envelope", "event", "scheme", "secret", "url")


def filled(entry: Entry) -> dict[str, Json]:
    """The form that makes a delivery again, for the same channel. Raises Refused."""
    if entry.form:
        return {**entry.form, "channel": entry.task.channel_id}
    return whole(Saved(payload(entry.body), entry.task.scheme))


def whole(saved: Saved) -> dict[str, Json]:
    """The form with a delivery's whole body in it. Raises Refused."""
    text = wire.write(saved.payload, indent=2)
    if not saved.payload:
        raise Refused("Its body is no JSON object, so the form cannot hold it.")
    if len(text) > EDITABLE:
        raise Refused('It is too large for the form: make send ARGS="--file …" takes it.')
    return {
        "ai_result": text,
        "preset": "",
        "envelope": WHOLE,
        "event": "",
        "channel": "",
        "scheme": saved.scheme,
        "secret": "right",
        "url": "",
    }


def presets() -> Mapping[str, Json]:
    """Each preset's text; None for one that is too large to be edited."""
    texts = {name: wire.write(value, indent=2) for name, value in PRESETS.items()}
    return {name: text if len(text) <= EDITABLE else None for name, text in texts.items()}


def _typed(text: str) -> Json:
    try:
        return wire.read(text)
    except json.JSONDecodeError as error:
        place = f"Line {error.lineno}, column {error.colno}"
        position = len(text[: error.pos].encode("utf-16-le", "surrogatepass")) // 2
        raise Refused(f"{place}: {error.msg}. Nothing was sent.", position) from None
