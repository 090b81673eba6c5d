"""The AI results of a run of chaos: some to be called back badly, some with a hostile URL."""

import random

from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver, Scheme, Treatment

BAD_TREATMENTS = (
    Treatment(status=500),
    Treatment(status=503, headers={"Retry-After": "1"}),
    Treatment(status=429, headers={"Retry-After": "60"}),
    Treatment(status=401),
    Treatment(status=408),
    Treatment(reset="before"),
    Treatment(reset="after"),
    Treatment(delay=1.0),
    Treatment(delay=8.0),
    Treatment(close_quietly=True),
)
FINAL_TREATMENTS = (
    Treatment(status=404),
    Treatment(status=302, headers={"Location": "http://127.0.0.1:1/"}),
)


class Traffic:
    """What is delivered, chosen by a seed; and which channels must come to what."""

    def __init__(self, seed: int, modelriver: ModelRiver, elsewhere: ModelRiver) -> None:
        """`elsewhere` is a host of a stranger's, at which hostile callback URLs point."""
        self._modelriver = modelriver
        self._elsewhere = elsewhere
        self._dice = random.Random(f"traffic {seed}")
        self.refused: set[str] = set()
        """Channels whose callback ModelRiver refuses for good."""
        self.hostile: set[str] = set()
        """Channels whose callback_url points elsewhere."""
        self.kill_upon: set[str] = set()
        """Channels upon whose first callback an instance is to be killed."""

    def times(self) -> int:
        """How often the next delivery is sent at the same moment."""
        return 2 if self._dice.random() < 0.05 else 1

    def event(self, number: int) -> tuple[dict[str, Json], Scheme]:
        """The AI result of that number, and how it is signed."""
        dice, channel_id = self._dice, f"chaos-{number}"
        payload = self._modelriver.event(
            {"title": f"SENTINEL {number}", "text": "x" * dice.choice([10, 100, 2000])},
            channel_id=channel_id,
        )
        kind = dice.random()
        if kind < 0.15:
            bad = [dice.choice(BAD_TREATMENTS) for _ in range(dice.randint(1, 4))]
            self._modelriver.planned[channel_id].extend(bad)
        elif kind < 0.17:
            self.refused.add(channel_id)
            self._modelriver.planned[channel_id].append(dice.choice(FINAL_TREATMENTS))
        elif kind < 0.19:
            self.hostile.add(channel_id)
            payload["callback_url"] = dice.choice(self._hostile_urls())
        elif kind < 0.20:
            self.kill_upon.add(channel_id)
        if dice.random() < 0.3:
            return self._modelriver.nested(payload), "timestamped"
        return payload, "documented"

    def _hostile_urls(self) -> list[Json]:
        host = self._elsewhere.origin.removeprefix("http://")
        return [f"http://{host}/", f"{self._modelriver.origin}@{host}/", f"//{host}/", 7]
